// System calls without a handler: all answer ENOSYS. Why, for the documentation and `ringfence compat`.

import * as nr from '../../abi/nr.ts';

/** Linux itself answers ENOSYS: the call is gone, or was only a number. */
const NEVER = 'Linux has none either (unimplemented(2))';
const GONE = 'Linux has taken it out';

const REASONS: readonly (readonly [why: string, numbers: readonly number[]])[] = [
  [NEVER, [nr.SYS_getpmsg, nr.SYS_putpmsg, nr.SYS_afs_syscall, nr.SYS_tuxcall, nr.SYS_security, nr.SYS_vserver]],
  [NEVER, [nr.SYS_epoll_ctl_old, nr.SYS_epoll_wait_old, nr.SYS_set_thread_area, nr.SYS_get_thread_area]],
  [GONE, [nr.SYS__sysctl, nr.SYS_create_module, nr.SYS_get_kernel_syms, nr.SYS_query_module, nr.SYS_nfsservctl]],
  [GONE, [nr.SYS_lookup_dcookie]],
  ['libraries are mapped with mmap(2); kernels have it only with CONFIG_USELIB', [nr.SYS_uselib]],
  ['file systems have no numbers here', [nr.SYS_ustat, nr.SYS_sysfs]],
  ['no segments but the flat ones of 64-bit programs', [nr.SYS_modify_ldt]],
  ['no asynchronous I/O in the kernel', [nr.SYS_io_setup, nr.SYS_io_destroy, nr.SYS_io_getevents, nr.SYS_io_submit, nr.SYS_io_cancel]],
  ['no asynchronous I/O in the kernel', [nr.SYS_io_pgetevents]],
  ['no io_uring', [nr.SYS_io_uring_setup, nr.SYS_io_uring_enter, nr.SYS_io_uring_register]],
  ['mmap(2) of each part does the same', [nr.SYS_remap_file_pages]],
  ['only the kernel makes programs call it', [nr.SYS_restart_syscall]],
  ['memory has no nodes here', [nr.SYS_mbind, nr.SYS_set_mempolicy, nr.SYS_get_mempolicy, nr.SYS_migrate_pages, nr.SYS_move_pages]],
  ['memory has no nodes here', [nr.SYS_set_mempolicy_home_node]],
  ['no keyrings', [nr.SYS_add_key, nr.SYS_request_key, nr.SYS_keyctl]],
  ['no fanotify', [nr.SYS_fanotify_mark]],
  ['files have no handles', [nr.SYS_name_to_handle_at]],
  ['processes cannot be compared', [nr.SYS_kcmp]],
  ['a sandbox loads no kernel', [nr.SYS_kexec_file_load]],
  ["page faults are the host kernel's", [nr.SYS_userfaultfd]],
  ['no protection keys', [nr.SYS_pkey_mprotect, nr.SYS_pkey_alloc, nr.SYS_pkey_free]],
  [
    'mount(2) and umount2(2) are there',
    [nr.SYS_open_tree, nr.SYS_move_mount, nr.SYS_fsopen, nr.SYS_fsconfig, nr.SYS_fsmount, nr.SYS_fspick],
  ],
  ['mount(2) and umount2(2) are there', [nr.SYS_mount_setattr, nr.SYS_open_tree_attr]],
  ['/proc/self/mountinfo is there', [nr.SYS_statmount, nr.SYS_listmount]],
  ['advice about own memory only (madvise(2))', [nr.SYS_process_madvise]],
  ['no quotas', [nr.SYS_quotactl_fd]],
  ['no Landlock', [nr.SYS_landlock_create_ruleset, nr.SYS_landlock_add_rule, nr.SYS_landlock_restrict_self]],
  ['no memory that the kernel hides from itself', [nr.SYS_memfd_secret]],
  ['the memory of a process that was killed is given back at once', [nr.SYS_process_mrelease]],
  ['futex(2) is there', [nr.SYS_futex_waitv, nr.SYS_futex_wake, nr.SYS_futex_wait, nr.SYS_futex_requeue]],
  ["the page cache is the host kernel's", [nr.SYS_cachestat]],
  ['no shadow stacks', [nr.SYS_map_shadow_stack]],
  ['no security modules', [nr.SYS_lsm_get_self_attr, nr.SYS_lsm_set_self_attr, nr.SYS_lsm_list_modules]],
  ['mappings cannot be sealed', [nr.SYS_mseal]],
  ['getxattr(2) and its like are there', [nr.SYS_setxattrat, nr.SYS_getxattrat, nr.SYS_listxattrat, nr.SYS_removexattrat]],
];

/** Reasons by number. */
export const absent: ReadonlyMap<number, string> = new Map(REASONS.flatMap(([why, numbers]) => numbers.map((n) => [n, why] as const)));
