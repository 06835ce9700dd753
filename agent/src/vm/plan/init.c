/* First process of a Linux guest for tests: says what its kernel was told and what its disks start with, writes to each, and
 * reboots, which ends its VMM. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

static const char *const drivers[] = {"/virtio_ring.ko", "/virtio.ko", "/virtio_mmio.ko", "/virtio_pci_modern_dev.ko",
                                      "/virtio_pci_legacy_dev.ko", "/virtio_pci.ko", "/virtio_blk.ko"};
static const char *const disks[] = {"/dev/vda", "/dev/vdb"};

static int open_soon(const char *path, int flags)
{
    int file, tries = 500;
    while ((file = open(path, flags)) < 0 && tries-- > 0)
        usleep(10000);
    return file;
}

int main(void)
{
    char text[4096] = "";
    mkdir("/proc", 0755);
    mount("proc", "/proc", "proc", 0, NULL);
    mount("dev", "/dev", "devtmpfs", 0, NULL);
    if (read(open("/proc/cmdline", O_RDONLY), text, sizeof text - 1) > 0)
        printf("told: %s", text);
    for (unsigned i = 0; i < sizeof drivers / sizeof *drivers; i++)
        if (syscall(SYS_finit_module, open(drivers[i], O_RDONLY), "", 0) != 0)
            printf("%s does not load\n", drivers[i]);
    for (unsigned i = 0; i < sizeof disks / sizeof *disks; i++) {
        int disk = open_soon(disks[i], O_RDONLY);
        memset(text, 0, sizeof text);
        read(disk, text, 8);
        int writable = open(disks[i], O_RDWR);
        int written = writable >= 0 && pwrite(writable, "guest", 5, 0) == 5 && fsync(writable) == 0;
        printf("%s: %s, %s\n", disks[i], text, written ? "written" : "not written");
    }
    fflush(stdout);
    tcdrain(1);
    reboot(RB_AUTOBOOT);
    return 0;
}
