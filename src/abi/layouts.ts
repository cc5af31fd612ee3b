// Layouts of the structures that system calls read and write: sizes and offsets in bytes.
//
// Each comment names the C type and its header; tools/check-abi.mjs compiles them and compares. A field with two words (lo, hi) is
// named once, by its first byte; nested structures have a layout of their own.

export * from './x86_64/layouts.ts';

// Files

/** struct statx <linux/stat.h> */
export const STATX = {
  size: 256,
  stx_mask: 0,
  stx_blksize: 4,
  stx_attributes: 8,
  stx_nlink: 16,
  stx_uid: 20,
  stx_gid: 24,
  stx_mode: 28,
  stx_ino: 32,
  stx_size: 40,
  stx_blocks: 48,
  stx_attributes_mask: 56,
  stx_atime: 64,
  stx_btime: 80,
  stx_ctime: 96,
  stx_mtime: 112,
  stx_rdev_major: 128,
  stx_rdev_minor: 132,
  stx_dev_major: 136,
  stx_dev_minor: 140,
  stx_mnt_id: 144,
  stx_dio_mem_align: 152,
  stx_dio_offset_align: 156,
} as const;

/** struct statx_timestamp <linux/stat.h> */
export const STATX_TIMESTAMP = { size: 16, tv_sec: 0, tv_nsec: 8 } as const;

/** struct statfs <asm/statfs.h> */
export const STATFS = {
  size: 120,
  f_type: 0,
  f_bsize: 8,
  f_blocks: 16,
  f_bfree: 24,
  f_bavail: 32,
  f_files: 40,
  f_ffree: 48,
  f_fsid: 56,
  f_namelen: 64,
  f_frsize: 72,
  f_flags: 80,
  f_spare: 88,
} as const;

/** struct dirent64 <dirent.h> */
export const DIRENT64 = { size: 280, d_ino: 0, d_off: 8, d_reclen: 16, d_type: 18, d_name: 19 } as const;

/** struct iovec <linux/uio.h> */
export const IOVEC = { size: 16, iov_base: 0, iov_len: 8 } as const;

/** struct flock <asm/fcntl.h> */
export const FLOCK = { size: 32, l_type: 0, l_whence: 2, l_start: 8, l_len: 16, l_pid: 24 } as const;

/** struct f_owner_ex <asm/fcntl.h> */
export const F_OWNER_EX = { size: 8, type: 0, pid: 4 } as const;

/** struct open_how <linux/openat2.h> */
export const OPEN_HOW = { size: 24, flags: 0, mode: 8, resolve: 16 } as const;

/** struct file_handle <fcntl.h> */
export const FILE_HANDLE = { size: 8, handle_bytes: 0, handle_type: 4, f_handle: 8 } as const;

/** struct inotify_event <linux/inotify.h> */
export const INOTIFY_EVENT = { size: 16, wd: 0, mask: 4, cookie: 8, len: 12, name: 16 } as const;

/** struct utimbuf <linux/utime.h> */
export const UTIMBUF = { size: 16, actime: 0, modtime: 8 } as const;

/** struct fsxattr <linux/fs.h> */
export const FSXATTR = { size: 28, fsx_xflags: 0, fsx_extsize: 4, fsx_nextents: 8, fsx_projid: 12, fsx_cowextsize: 16 } as const;

/** struct mount_attr <linux/mount.h> */
export const MOUNT_ATTR = { size: 32, attr_set: 0, attr_clr: 8, propagation: 16, userns_fd: 24 } as const;

// Time

/** struct __kernel_timespec <linux/time_types.h> */
export const TIMESPEC = { size: 16, tv_sec: 0, tv_nsec: 8 } as const;

/** struct __kernel_old_timeval <linux/time_types.h> */
export const TIMEVAL = { size: 16, tv_sec: 0, tv_usec: 8 } as const;

/** struct timezone <linux/time.h> */
export const TIMEZONE = { size: 8, tz_minuteswest: 0, tz_dsttime: 4 } as const;

/** struct __kernel_itimerspec <linux/time_types.h> */
export const ITIMERSPEC = { size: 32, it_interval: 0, it_value: 16 } as const;

/** struct __kernel_old_itimerval <linux/time_types.h> */
export const ITIMERVAL = { size: 32, it_interval: 0, it_value: 16 } as const;

/** struct __kernel_timex <linux/timex.h> */
export const TIMEX = {
  size: 208,
  modes: 0,
  offset: 8,
  freq: 16,
  maxerror: 24,
  esterror: 32,
  status: 40,
  constant: 48,
  precision: 56,
  tolerance: 64,
  time: 72,
  tick: 88,
  ppsfreq: 96,
  jitter: 104,
  shift: 112,
  stabil: 120,
  jitcnt: 128,
  calcnt: 136,
  errcnt: 144,
  stbcnt: 152,
  tai: 160,
} as const;

/** struct tms <linux/times.h> */
export const TMS = { size: 32, tms_utime: 0, tms_stime: 8, tms_cutime: 16, tms_cstime: 24 } as const;

// Processes

/** struct rusage <linux/resource.h> */
export const RUSAGE = {
  size: 144,
  ru_utime: 0,
  ru_stime: 16,
  ru_maxrss: 32,
  ru_ixrss: 40,
  ru_idrss: 48,
  ru_isrss: 56,
  ru_minflt: 64,
  ru_majflt: 72,
  ru_nswap: 80,
  ru_inblock: 88,
  ru_oublock: 96,
  ru_msgsnd: 104,
  ru_msgrcv: 112,
  ru_nsignals: 120,
  ru_nvcsw: 128,
  ru_nivcsw: 136,
} as const;

/** struct rlimit64 <linux/resource.h> */
export const RLIMIT64 = { size: 16, rlim_cur: 0, rlim_max: 8 } as const;

/** struct sysinfo <linux/sysinfo.h> */
export const SYSINFO = {
  size: 112,
  uptime: 0,
  loads: 8,
  totalram: 32,
  freeram: 40,
  sharedram: 48,
  bufferram: 56,
  totalswap: 64,
  freeswap: 72,
  procs: 80,
  totalhigh: 88,
  freehigh: 96,
  mem_unit: 104,
} as const;

/** struct new_utsname <linux/utsname.h> */
export const UTSNAME = { size: 390, sysname: 0, nodename: 65, release: 130, version: 195, machine: 260, domainname: 325 } as const;

/** struct sched_param <sched.h> */
export const SCHED_PARAM = { size: 4, sched_priority: 0 } as const;

/** struct sched_attr <linux/sched/types.h> */
export const SCHED_ATTR = {
  size: 56,
  sched_policy: 4,
  sched_flags: 8,
  sched_nice: 16,
  sched_priority: 20,
  sched_runtime: 24,
  sched_deadline: 32,
  sched_period: 40,
  sched_util_min: 48,
  sched_util_max: 52,
} as const;

/** struct clone_args <linux/sched.h> */
export const CLONE_ARGS = {
  size: 88,
  flags: 0,
  pidfd: 8,
  child_tid: 16,
  parent_tid: 24,
  exit_signal: 32,
  stack: 40,
  stack_size: 48,
  tls: 56,
  set_tid: 64,
  set_tid_size: 72,
  cgroup: 80,
} as const;

/** struct __user_cap_header_struct <linux/capability.h> */
export const CAP_HEADER = { size: 8, version: 0, pid: 4 } as const;

/** struct __user_cap_data_struct <linux/capability.h> */
export const CAP_DATA = { size: 12, effective: 0, permitted: 4, inheritable: 8 } as const;

/** struct vfs_cap_data <linux/capability.h> */
export const VFS_CAP_DATA = { size: 20, magic_etc: 0, data: 4 } as const;

/** struct vfs_ns_cap_data <linux/capability.h> */
export const VFS_NS_CAP_DATA = { size: 24, magic_etc: 0, data: 4, rootid: 20 } as const;

/** struct robust_list_head <linux/futex.h> */
export const ROBUST_LIST_HEAD = { size: 24, list: 0, futex_offset: 8, list_op_pending: 16 } as const;

/** struct futex_waitv <linux/futex.h> */
export const FUTEX_WAITV_ENTRY = { size: 24, val: 0, uaddr: 8, flags: 16 } as const;

/** struct rseq <linux/rseq.h> */
export const RSEQ = { size: 32, cpu_id_start: 0, cpu_id: 4, rseq_cs: 8, flags: 16 } as const;

/** struct prctl_mm_map <linux/prctl.h> */
export const PRCTL_MM_MAP = {
  size: 104,
  start_code: 0,
  end_code: 8,
  start_data: 16,
  end_data: 24,
  start_brk: 32,
  brk: 40,
  start_stack: 48,
  arg_start: 56,
  arg_end: 64,
  env_start: 72,
  env_end: 80,
  auxv: 88,
  auxv_size: 96,
  exe_fd: 100,
} as const;

/** struct seccomp_data <linux/seccomp.h> */
export const SECCOMP_DATA = { size: 64, nr: 0, arch: 4, instruction_pointer: 8, args: 16 } as const;

/** struct sock_filter <linux/filter.h> */
export const SOCK_FILTER = { size: 8, code: 0, jt: 2, jf: 3, k: 4 } as const;

/** struct sock_fprog <linux/filter.h> */
export const SOCK_FPROG = { size: 16, len: 0, filter: 8 } as const;

// Signals

/** struct sigaction <asm/signal.h> */
export const SIGACTION = { size: 32, sa_handler: 0, sa_flags: 8, sa_restorer: 16, sa_mask: 24 } as const;

/** stack_t <asm/signal.h> */
export const STACK_T = { size: 24, ss_sp: 0, ss_flags: 8, ss_size: 16 } as const;

/** struct sigevent <asm/siginfo.h> */
export const SIGEVENT = { size: 64, sigev_value: 0, sigev_signo: 8, sigev_notify: 12, sigev_notify_thread_id: 16 } as const;

/** siginfo_t <asm/siginfo.h> */
export const SIGINFO = {
  size: 128,
  si_signo: 0,
  si_errno: 4,
  si_code: 8,
  si_pid: 16,
  si_uid: 20,
  si_value: 24,
  si_tid: 16,
  si_overrun: 20,
  si_status: 24,
  si_utime: 32,
  si_stime: 40,
  si_addr: 16,
  si_addr_lsb: 24,
  si_lower: 32,
  si_upper: 40,
  si_pkey: 32,
  si_band: 16,
  si_fd: 24,
  si_call_addr: 16,
  si_syscall: 24,
  si_arch: 28,
} as const;

/** struct signalfd_siginfo <linux/signalfd.h> */
export const SIGNALFD_SIGINFO = {
  size: 128,
  ssi_signo: 0,
  ssi_errno: 4,
  ssi_code: 8,
  ssi_pid: 12,
  ssi_uid: 16,
  ssi_fd: 20,
  ssi_tid: 24,
  ssi_band: 28,
  ssi_overrun: 32,
  ssi_trapno: 36,
  ssi_status: 40,
  ssi_int: 44,
  ssi_ptr: 48,
  ssi_utime: 56,
  ssi_stime: 64,
  ssi_addr: 72,
  ssi_addr_lsb: 80,
  ssi_syscall: 84,
  ssi_call_addr: 88,
  ssi_arch: 96,
} as const;

// Polling

/** struct pollfd <asm/poll.h> */
export const POLLFD = { size: 8, fd: 0, events: 4, revents: 6 } as const;

// Sockets

/** struct msghdr <sys/socket.h> */
export const MSGHDR = {
  size: 56,
  msg_name: 0,
  msg_namelen: 8,
  msg_iov: 16,
  msg_iovlen: 24,
  msg_control: 32,
  msg_controllen: 40,
  msg_flags: 48,
} as const;

/** struct mmsghdr <sys/socket.h> */
export const MMSGHDR = { size: 64, msg_hdr: 0, msg_len: 56 } as const;

/** struct cmsghdr <sys/socket.h> */
export const CMSGHDR = { size: 16, cmsg_len: 0, cmsg_level: 8, cmsg_type: 12 } as const;

/** struct ucred <sys/socket.h> */
export const UCRED = { size: 12, pid: 0, uid: 4, gid: 8 } as const;

/** struct linger <sys/socket.h> */
export const LINGER = { size: 8, l_onoff: 0, l_linger: 4 } as const;

/** struct sockaddr_un <linux/un.h> */
export const SOCKADDR_UN = { size: 110, sun_family: 0, sun_path: 2 } as const;

/** struct sockaddr_in <linux/in.h> */
export const SOCKADDR_IN = { size: 16, sin_family: 0, sin_port: 2, sin_addr: 4 } as const;

/** struct sockaddr_in6 <linux/in6.h> */
export const SOCKADDR_IN6 = { size: 28, sin6_family: 0, sin6_port: 2, sin6_flowinfo: 4, sin6_addr: 8, sin6_scope_id: 24 } as const;

/** struct sockaddr_nl <linux/netlink.h> */
export const SOCKADDR_NL = { size: 12, nl_family: 0, nl_pad: 2, nl_pid: 4, nl_groups: 8 } as const;

/** struct sockaddr_storage <sys/socket.h> */
export const SOCKADDR_STORAGE = { size: 128, ss_family: 0 } as const;

/** struct ip_mreqn <linux/in.h> */
export const IP_MREQN = { size: 12, imr_multiaddr: 0, imr_address: 4, imr_ifindex: 8 } as const;

/** struct in_pktinfo <linux/in.h> */
export const IN_PKTINFO = { size: 12, ipi_ifindex: 0, ipi_spec_dst: 4, ipi_addr: 8 } as const;

/** struct in6_pktinfo <linux/ipv6.h> */
export const IN6_PKTINFO = { size: 20, ipi6_addr: 0, ipi6_ifindex: 16 } as const;

/** struct tcp_info <linux/tcp.h> */
export const TCP_INFO = {
  size: 232,
  tcpi_state: 0,
  tcpi_ca_state: 1,
  tcpi_retransmits: 2,
  tcpi_probes: 3,
  tcpi_backoff: 4,
  tcpi_options: 5,
  tcpi_rto: 8,
  tcpi_ato: 12,
  tcpi_snd_mss: 16,
  tcpi_rcv_mss: 20,
  tcpi_unacked: 24,
  tcpi_sacked: 28,
  tcpi_lost: 32,
  tcpi_retrans: 36,
  tcpi_pmtu: 60,
  tcpi_rcv_ssthresh: 64,
  tcpi_rtt: 68,
  tcpi_rttvar: 72,
  tcpi_snd_ssthresh: 76,
  tcpi_snd_cwnd: 80,
  tcpi_advmss: 84,
  tcpi_rcv_rtt: 92,
  tcpi_rcv_space: 96,
} as const;

/** struct ifreq <net/if.h> */
export const IFREQ = { size: 40, ifr_ifrn: 0, ifr_ifru: 16 } as const;

/** struct ifconf <net/if.h> */
export const IFCONF = { size: 16, ifc_len: 0, ifc_ifcu: 8 } as const;

/** struct nlmsghdr <linux/netlink.h> */
export const NLMSGHDR = { size: 16, nlmsg_len: 0, nlmsg_type: 4, nlmsg_flags: 6, nlmsg_seq: 8, nlmsg_pid: 12 } as const;

/** struct nlmsgerr <linux/netlink.h> */
export const NLMSGERR = { size: 20, error: 0, msg: 4 } as const;

/** struct ifinfomsg <linux/rtnetlink.h> */
export const IFINFOMSG = { size: 16, ifi_family: 0, ifi_type: 2, ifi_index: 4, ifi_flags: 8, ifi_change: 12 } as const;

/** struct ifaddrmsg <linux/if_addr.h> */
export const IFADDRMSG = { size: 8, ifa_family: 0, ifa_prefixlen: 1, ifa_flags: 2, ifa_scope: 3, ifa_index: 4 } as const;

/** struct rtmsg <linux/rtnetlink.h> */
export const RTMSG = {
  size: 12,
  rtm_family: 0,
  rtm_dst_len: 1,
  rtm_src_len: 2,
  rtm_tos: 3,
  rtm_table: 4,
  rtm_protocol: 5,
  rtm_scope: 6,
  rtm_type: 7,
  rtm_flags: 8,
} as const;

/** struct rtattr <linux/rtnetlink.h> */
export const RTATTR = { size: 4, rta_len: 0, rta_type: 2 } as const;

// Terminals

/** struct termios <asm/termbits.h> */
export const TERMIOS = { size: 36, c_iflag: 0, c_oflag: 4, c_cflag: 8, c_lflag: 12, c_line: 16, c_cc: 17 } as const;

/** struct termios2 <asm/termbits.h> */
export const TERMIOS2 = {
  size: 44,
  c_iflag: 0,
  c_oflag: 4,
  c_cflag: 8,
  c_lflag: 12,
  c_line: 16,
  c_cc: 17,
  c_ispeed: 36,
  c_ospeed: 40,
} as const;

/** struct termio <asm/termios.h> */
export const TERMIO = { size: 18, c_iflag: 0, c_oflag: 2, c_cflag: 4, c_lflag: 6, c_line: 8, c_cc: 9 } as const;

/** struct winsize <asm/termios.h> */
export const WINSIZE = { size: 8, ws_row: 0, ws_col: 2, ws_xpixel: 4, ws_ypixel: 6 } as const;

// System V and POSIX inter-process communication

/** struct ipc64_perm <asm/ipcbuf.h> */
export const IPC64_PERM = { size: 48, key: 0, uid: 4, gid: 8, cuid: 12, cgid: 16, mode: 20, seq: 24 } as const;

/** struct shmid64_ds <asm/shmbuf.h> */
export const SHMID64_DS = {
  size: 112,
  shm_perm: 0,
  shm_segsz: 48,
  shm_atime: 56,
  shm_dtime: 64,
  shm_ctime: 72,
  shm_cpid: 80,
  shm_lpid: 84,
  shm_nattch: 88,
} as const;

/** struct shminfo64 <asm/shmbuf.h> */
export const SHMINFO64 = { size: 72, shmmax: 0, shmmin: 8, shmmni: 16, shmseg: 24, shmall: 32 } as const;

/** struct shm_info <linux/shm.h> */
export const SHM_INFO_STRUCT = {
  size: 48,
  used_ids: 0,
  shm_tot: 8,
  shm_rss: 16,
  shm_swp: 24,
  swap_attempts: 32,
  swap_successes: 40,
} as const;

/** struct sembuf <linux/sem.h> */
export const SEMBUF = { size: 6, sem_num: 0, sem_op: 2, sem_flg: 4 } as const;

/** struct seminfo <linux/sem.h> */
export const SEMINFO = {
  size: 40,
  semmap: 0,
  semmni: 4,
  semmns: 8,
  semmnu: 12,
  semmsl: 16,
  semopm: 20,
  semume: 24,
  semusz: 28,
  semvmx: 32,
  semaem: 36,
} as const;

/** struct msqid64_ds <asm/msgbuf.h> */
export const MSQID64_DS = {
  size: 120,
  msg_perm: 0,
  msg_stime: 48,
  msg_rtime: 56,
  msg_ctime: 64,
  msg_cbytes: 72,
  msg_qnum: 80,
  msg_qbytes: 88,
  msg_lspid: 96,
  msg_lrpid: 100,
} as const;

/** struct msginfo <linux/msg.h> */
export const MSGINFO = { size: 32, msgpool: 0, msgmap: 4, msgmax: 8, msgmnb: 12, msgmni: 16, msgssz: 20, msgtql: 24, msgseg: 28 } as const;

/** struct mq_attr <linux/mqueue.h> */
export const MQ_ATTR = { size: 64, mq_flags: 0, mq_maxmsg: 8, mq_msgsize: 16, mq_curmsgs: 24 } as const;

// Executables

/** Elf64_Ehdr <linux/elf.h> */
export const ELF64_EHDR = {
  size: 64,
  e_ident: 0,
  e_type: 16,
  e_machine: 18,
  e_version: 20,
  e_entry: 24,
  e_phoff: 32,
  e_shoff: 40,
  e_flags: 48,
  e_ehsize: 52,
  e_phentsize: 54,
  e_phnum: 56,
  e_shentsize: 58,
  e_shnum: 60,
  e_shstrndx: 62,
} as const;

/** Elf64_Phdr <linux/elf.h> */
export const ELF64_PHDR = {
  size: 56,
  p_type: 0,
  p_flags: 4,
  p_offset: 8,
  p_vaddr: 16,
  p_paddr: 24,
  p_filesz: 32,
  p_memsz: 40,
  p_align: 48,
} as const;

/** Elf64_Shdr <linux/elf.h> */
export const ELF64_SHDR = {
  size: 64,
  sh_name: 0,
  sh_type: 4,
  sh_flags: 8,
  sh_addr: 16,
  sh_offset: 24,
  sh_size: 32,
  sh_link: 40,
  sh_info: 44,
  sh_addralign: 48,
  sh_entsize: 56,
} as const;

/** Elf64_Sym <linux/elf.h> */
export const ELF64_SYM = { size: 24, st_name: 0, st_info: 4, st_other: 5, st_shndx: 6, st_value: 8, st_size: 16 } as const;
