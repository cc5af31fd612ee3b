// Asks for options that the kernel surface lacks and for some that no Linux has; fails where they are missing.
#include <linux/futex.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(void) {
  prctl(123456);
  prctl(PR_SET_MM, PR_SET_MM_EXE_FILE, -1, 0, 0);
  unsigned word = 0;
  syscall(SYS_futex, &word, FUTEX_LOCK_PI, 0, 0, 0, 0);
  mmap(0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
  socket(AF_VSOCK, SOCK_STREAM, 0);
  socket(4444, SOCK_STREAM, 0);
  syscall(SYS_io_uring_setup, 0, 0);
  syscall(100000);
  puts("done");
  return 0;
}
