// The filter of seccomp(2) that a process starts with (linux.seccomp of config.json).

import { EINVAL, EPERM } from '../../abi/errno.ts';
import { SYS_execve } from '../../abi/nr.ts';
import { SECCOMP_RET_ACTION_FULL, SECCOMP_RET_ALLOW, SECCOMP_RET_DATA, SECCOMP_RET_ERRNO, SECCOMP_RET_LOG } from '../../abi/seccomp.ts';
import type { SeccompConfig } from '../../wire/boot.ts';
import { BpfProgram, INSN_SIZE, UNDECIDED } from '../kernel/bpf.ts';
import { Seccomp, setSeccomp } from '../kernel/seccomp.ts';
import type { Task } from '../kernel/task.ts';

const DIGITS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';

/** Bytes of base64 text without line breaks; null when it is none. */
function decode64(text: string): Uint8Array | null {
  const end = text.endsWith('==') ? text.length - 2 : text.endsWith('=') ? text.length - 1 : text.length;
  const out = new Uint8Array(Math.floor((end * 3) / 4));
  let bits = 0;
  let have = 0;
  let at = 0;
  for (let i = 0; i < end; i++) {
    const d = DIGITS.indexOf(text.charAt(i));
    if (d < 0) return null;
    bits = ((bits << 6) | d) & 0xffff;
    have += 6;
    if (have < 8) continue;
    have -= 8;
    out[at++] = (bits >>> have) & 0xff;
  }
  return out;
}

/**
 * Puts the filter of `config` (absent: none) onto a task that is about to execute its program. 0; -EINVAL for what is no program; or the
 * error that the filter gives execve(2) itself.
 */
export function applyProfile(t: Task, config: SeccompConfig | undefined): number {
  if (config === undefined) return 0;
  const code = decode64(config.program);
  const program = code === null ? null : BpfProgram.check(code, Math.floor(code.length / INSN_SIZE));
  const s = program === null ? null : Seccomp.filtered(null, program, config.log);
  if (s === null) return -EINVAL;
  setSeccomp(t, s);
  const verdict = s.constant(SYS_execve);
  if (verdict === UNDECIDED) return 0;
  const action = (verdict & SECCOMP_RET_ACTION_FULL) >>> 0;
  if (action === SECCOMP_RET_ALLOW || action === SECCOMP_RET_LOG) return 0;
  const errno = verdict & SECCOMP_RET_DATA;
  return action === SECCOMP_RET_ERRNO && errno > 0 ? -errno : -EPERM;
}
