# A PVH guest for tests: says "up" on its serial port and then nothing more.
.section .note.pvh, "a", @note
    .long 4, 8, 18
    .asciz "Xen"
    .quad _start
.section .text, "ax"
.code32
.globl _start
_start:
    mov $0x3f8, %dx
    mov $'u', %al
    outb %al, %dx
    mov $'p', %al
    outb %al, %dx
    mov $'\n', %al
    outb %al, %dx
1:  hlt
    jmp 1b
