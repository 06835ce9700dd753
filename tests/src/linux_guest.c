/* First process of a Linux guest for tests: gives its interface the address= of its command line, and asks peer= by UDP
 * again and again, also in the name of as= and of a neighbour= beside it. Says on its console what it hears. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

static const char *const drivers[] = {"/virtio_ring.ko",       "/virtio.ko",     "/virtio_mmio.ko",
                                      "/virtio_pci_modern_dev.ko", "/virtio_pci_legacy_dev.ko", "/virtio_pci.ko",
                                      "/failover.ko",          "/net_failover.ko", "/virtio_net.ko"};
enum { PORT = 7777 };

static char told[4096];

static struct sockaddr_in address_of(const char *name)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    const char *place = strstr(told, name);
    char text[16] = "";
    if (place && sscanf(place + strlen(name), "%15[0-9.]", text) == 1)
        inet_pton(AF_INET, text, &address.sin_addr);
    return address;
}

static void set(int link, const char *name, unsigned long request, const void *value, size_t size)
{
    struct ifreq what = {0};
    strncpy(what.ifr_name, name, sizeof what.ifr_name - 1);
    memcpy(&what.ifr_addr, value, size);
    if (ioctl(link, request, &what) != 0)
        printf("%s: %lx does not work\n", name, request);
}

static int speak_as(struct sockaddr_in own)
{
    int line = socket(AF_INET, SOCK_DGRAM, 0);
    struct timeval patience = {.tv_usec = 200000};
    setsockopt(line, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (bind(line, (struct sockaddr *)&own, sizeof own) != 0)
        printf("no socket\n");
    return line;
}

static void say(int line, const char *word, struct sockaddr_in to)
{
    sendto(line, word, strlen(word), 0, (struct sockaddr *)&to, sizeof to);
}

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    mkdir("/proc", 0755);
    mount("proc", "/proc", "proc", 0, NULL);
    read(open("/proc/cmdline", O_RDONLY), told, sizeof told - 1);
    for (unsigned i = 0; i < sizeof drivers / sizeof *drivers; i++)
        if (syscall(SYS_finit_module, open(drivers[i], O_RDONLY), "", 0) != 0)
            printf("%s does not load\n", drivers[i]);
    int link = socket(AF_INET, SOCK_DGRAM, 0), tries = 500;
    while (if_nametoindex("eth0") == 0 && tries-- > 0)
        usleep(10000);
    struct sockaddr_in own = address_of("address="), peer = address_of("peer="), other = address_of("as=");
    struct sockaddr_in neighbour = address_of("neighbour="), mask = {.sin_family = AF_INET};
    inet_pton(AF_INET, "255.255.255.0", &mask.sin_addr);
    short flags = IFF_UP | IFF_RUNNING;
    set(link, "eth0", SIOCSIFADDR, &own, sizeof own);
    set(link, "eth0", SIOCSIFNETMASK, &mask, sizeof mask);
    set(link, "eth0", SIOCSIFFLAGS, &flags, sizeof flags);
    int line = speak_as(own), false_line = -1;
    if (other.sin_addr.s_addr) {
        set(link, "eth0:1", SIOCSIFADDR, &other, sizeof other);
        set(link, "eth0:1", SIOCSIFNETMASK, &mask, sizeof mask);
        false_line = speak_as(other);
    }
    for (;;) {
        char heard[64] = "";
        if (false_line >= 0)
            say(false_line, "false", peer);
        if (neighbour.sin_addr.s_addr)
            say(line, "neighbour", neighbour);
        say(line, "ask", peer);
        printf("asked\n");
        if (recv(line, heard, sizeof heard - 1, 0) > 0) {
            printf("heard: %s\n", heard);
            usleep(100000);
        }
    }
}
