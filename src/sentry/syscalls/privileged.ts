// Calls that administer a machine: refused to those who may not make them, and unknown to those who may.

import { CAP_SYS_ADMIN, CAP_SYS_BOOT, CAP_SYS_MODULE, CAP_SYS_PACCT, CAP_SYS_RAWIO } from '../../abi/capability.ts';
import { ENOSYS, EPERM } from '../../abi/errno.ts';
import {
  SYS_acct,
  SYS_bpf,
  SYS_delete_module,
  SYS_fanotify_init,
  SYS_finit_module,
  SYS_init_module,
  SYS_ioperm,
  SYS_iopl,
  SYS_kexec_load,
  SYS_open_by_handle_at,
  SYS_perf_event_open,
  SYS_quotactl,
  SYS_swapoff,
  SYS_swapon,
} from '../../abi/nr.ts';
import type { Task } from '../kernel/task.ts';
import type { Row } from './row.ts';

function refused(nr: number, name: string, cap: number): Row {
  const handler = (t: Task): number => {
    if (!t.creds.has(cap)) return -EPERM;
    t.kernel.unsupportedCall(t, nr);
    return -ENOSYS;
  };
  return { nr, name, handler, support: 'none', note: 'EPERM without the capability, else ENOSYS', args: [] };
}

export const rows: readonly Row[] = [
  refused(SYS_acct, 'acct', CAP_SYS_PACCT),
  refused(SYS_swapon, 'swapon', CAP_SYS_ADMIN),
  refused(SYS_swapoff, 'swapoff', CAP_SYS_ADMIN),
  refused(SYS_quotactl, 'quotactl', CAP_SYS_ADMIN),
  refused(SYS_iopl, 'iopl', CAP_SYS_RAWIO),
  refused(SYS_ioperm, 'ioperm', CAP_SYS_RAWIO),
  refused(SYS_init_module, 'init_module', CAP_SYS_MODULE),
  refused(SYS_finit_module, 'finit_module', CAP_SYS_MODULE),
  refused(SYS_delete_module, 'delete_module', CAP_SYS_MODULE),
  refused(SYS_kexec_load, 'kexec_load', CAP_SYS_BOOT),
  refused(SYS_bpf, 'bpf', CAP_SYS_ADMIN),
  refused(SYS_perf_event_open, 'perf_event_open', CAP_SYS_ADMIN),
  refused(SYS_fanotify_init, 'fanotify_init', CAP_SYS_ADMIN),
  refused(SYS_open_by_handle_at, 'open_by_handle_at', CAP_SYS_ADMIN),
];
