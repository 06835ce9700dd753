# The guest that shows whether an accelerator runs guests: it turns on paging as a 64-bit kernel does, writes through one
# mapping, reads through another, and says so on the serial port. agent/src/vm/kvm_proof.elf is this, assembled and linked by
#   as --64 -o proof.o proof.s && ld -n -s -Ttext=0x100000 --build-id=none -z noexecstack -o proof.elf proof.o
# Entry: PVH, 32 bits, no paging (xen/include/public/arch-x86/hvm/start_info.h).
.section .note.pvh, "a", @note
    .long 4, 8, 18
    .asciz "Xen"
    .quad _start
.section .text, "ax"
.code32
.globl _start
_start:
    cli
    # Three tables at 2 MiB: 4-level paging, two mappings of 2 MiB pages. The first maps itself; 1 GiB is 4 MiB.
    mov $0x200000, %edi
    xor %eax, %eax
    mov $(4 * 1024), %ecx
    cld
    rep stosl
    movl $0x201003, 0x200000        # level 4, entry 0: next table, present, writable
    movl $0x202003, 0x201000        # level 3, entry 0
    movl $0x203003, 0x201008        # level 3, entry 1
    movl $0x000083, 0x202000        # 0 to 2 MiB are themselves, a large page
    movl $0x200083, 0x202008        # and 2 to 4 MiB
    movl $0x400083, 0x202010        # and 4 to 6 MiB
    movl $0x400083, 0x203000        # 1 GiB is 4 MiB
    mov %cr4, %eax
    or $0x20, %eax                  # PAE
    mov %eax, %cr4
    mov $0x200000, %eax
    mov %eax, %cr3
    mov $0xc0000080, %ecx           # EFER
    rdmsr
    or $0x100, %eax                 # LME
    wrmsr
    mov %cr0, %eax
    or $0x80000000, %eax            # PG
    mov %eax, %cr0
    lgdt descriptor
    ljmp $8, $wide
.code64
wide:
    movl $0x57a9e201, 0x400010      # written where it is
    mov $0x40000010, %esi
    cmpl $0x57a9e201, (%rsi)        # read at 1 GiB
    jne stop
    mov $words, %esi
    mov $0x3f8, %dx
1:  lodsb
    test %al, %al
    jz stop
    outb %al, %dx
    jmp 1b
stop:
    hlt
    jmp stop
words:
    .asciz "paging works\n"
    .balign 8
table:
    .quad 0
    .quad 0x00af9a000000ffff        # code, 64 bits
descriptor:
    .word 15
    .long table
