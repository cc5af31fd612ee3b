// The texts of /proc/PID (proc(5)), computed from the task's state.

import { CAP_SYS_PTRACE } from '../../../abi/capability.ts';
import { EACCES } from '../../../abi/errno.ts';
import { MAP_GROWSDOWN, MAP_SHARED, PROT_EXEC, PROT_READ, PROT_WRITE } from '../../../abi/mman.ts';
import { latin1Decode } from '../../../base/bytes.ts';
import type { Kernel } from '../../kernel/kernel.ts';
import { limitsOf } from '../../kernel/limits.ts';
import { numberIn, type Pid, type PidNamespace } from '../../kernel/pidns.ts';
import { TASK_DEAD, TASK_STOPPED, TASK_TRACED, type Task } from '../../kernel/task.ts';
import type { MemoryManager } from '../../mm/memory.ts';
import type { Vma } from '../../mm/vma.ts';
import type { CapSet } from '../../vfs/creds.ts';
import { devMajor, devMinor } from '../../vfs/devices.ts';
import type { File } from '../../vfs/file.ts';
import type { FileLocks } from '../../vfs/locks.ts';
import type { Mount } from '../../vfs/mount.ts';
import { mountPath, pathInFs } from '../../vfs/path.ts';
import type { ProcExtras } from './extras.ts';
import type { ProcFs } from './proc.ts';

const TICK_NS = 1e7;
const PAGE = 4096;
/** Where the path begins in a line of maps. */
const MAPS_PATH_COLUMN = 73;
const TEXT_MOST = 1 << 20;

export function stateOf(t: Task): string {
  if (t.tg.zombie || t.state === TASK_DEAD) return 'Z (zombie)';
  if (t.state === TASK_TRACED) return 't (tracing stop)';
  if (t.state === TASK_STOPPED || t.tg.stopped) return 'T (stopped)';
  return t.sleeps ? 'S (sleeping)' : 'R (running)';
}

function hex64(lo: number, hi: number): string {
  return (hi >>> 0).toString(16).padStart(8, '0') + (lo >>> 0).toString(16).padStart(8, '0');
}

function caps(s: CapSet): string {
  return hex64(s.lo, s.hi);
}

/** Signals caught and ignored as two sets of words: [caughtLo, caughtHi, ignoredLo, ignoredHi]. */
function dispositions(t: Task): [number, number, number, number] {
  const out: [number, number, number, number] = [0, 0, 0, 0];
  for (let sig = 1; sig <= 64; sig++) {
    const h = t.tg.handlers.actions[sig]!.handler;
    if (h === 0) continue;
    const at = (h === 1 ? 2 : 0) + (sig > 32 ? 1 : 0);
    out[at] = (out[at]! | (1 << ((sig - 1) & 31))) >>> 0;
  }
  return out;
}

/** Bytes that are backed by something: an estimate of what is resident, as the host does not tell. */
export function residentBytes(mm: MemoryManager): number {
  let n = 0;
  for (const v of mm.vmas.list) if (v.prot !== 0 && (v.flags & MAP_GROWSDOWN) === 0) n += Math.min(v.end - v.start, 64 << 20);
  return n;
}

function gone(t: Task): boolean {
  return t.tg.zombie || t.state === TASK_DEAD || t.mm.as.dead;
}

function cpuMask(t: Task): [string, string] {
  const n = limitsOf(t.kernel, t.tg.container).cpus;
  const list: number[] = [];
  for (let i = 0; i < n && i < 64; i++) {
    const any = (t.cpuLo | t.cpuHi) === 0;
    if (any || (i < 32 ? (t.cpuLo >>> i) & 1 : (t.cpuHi >>> (i - 32)) & 1) !== 0) list.push(i);
  }
  let lo = 0;
  let hi = 0;
  for (const i of list) {
    if (i < 32) lo |= 1 << i;
    else hi |= 1 << (i - 32);
  }
  return [n > 32 ? `${(hi >>> 0).toString(16)},${(lo >>> 0).toString(16).padStart(8, '0')}` : (lo >>> 0).toString(16), rangeList(list)];
}

/** "0-3,5" of sorted numbers. */
export function rangeList(list: readonly number[]): string {
  const out: string[] = [];
  for (let i = 0; i < list.length; ) {
    let j = i;
    while (j + 1 < list.length && list[j + 1] === list[j]! + 1) j++;
    out.push(i === j ? String(list[i]) : `${list[i]}-${list[j]}`);
    i = j + 1;
  }
  return out.join(',');
}

/** The numbers of `pid` in each namespace from `ns` down to the task's own, as the NS lines of status have them. */
function numbers(t: Task, ns: PidNamespace, pid: Pid): string {
  let s = '';
  for (let at: PidNamespace | null = t.pidns; at !== null && at.level >= ns.level; at = at.parent) s = `\t${pid.in(at)}${s}`;
  return s;
}

/** /proc/PID/status in a proc of the pid namespace `ns`. */
export function statusText(t: Task, ns: PidNamespace): string {
  const g = t.tg;
  const c = t.creds;
  const [caughtLo, caughtHi, ignoredLo, ignoredHi] = dispositions(t);
  const kb = (n: number): string => `${String(Math.ceil(n / 1024)).padStart(8)} kB`;
  let s = `Name:\t${t.name}\nUmask:\t${t.fs.umask.toString(8).padStart(4, '0')}\nState:\t${stateOf(t)}\nTgid:\t${g.pid.in(ns)}\nNgid:\t0\n`;
  s += `Pid:\t${t.pid.in(ns)}\nPPid:\t${g.parent?.pid.in(ns) ?? 0}\nTracerPid:\t${t.ptrace?.tracer.pid.in(ns) ?? 0}\n`;
  s += `Uid:\t${c.ruid}\t${c.euid}\t${c.suid}\t${c.fsuid}\nGid:\t${c.rgid}\t${c.egid}\t${c.sgid}\t${c.fsgid}\n`;
  s += `FDSize:\t${Math.max(64, t.fds.size)}\nGroups:\t${c.groups.join(' ')} \n`;
  s += `NStgid:${numbers(t, ns, g.pid)}\nNSpid:${numbers(t, ns, t.pid)}\nNSpgid:${numbers(t, ns, g.pgrp.pid)}\nNSsid:${numbers(t, ns, g.session.pid)}\n`;
  if (!gone(t)) {
    const mm = t.mm;
    const rss = residentBytes(mm);
    let stack = 0;
    let exec = 0;
    let data = 0;
    let lib = 0;
    let locked = 0;
    for (const v of mm.vmas.list) {
      const n = v.end - v.start;
      if (v.locked) locked += n;
      if (v.label === '[stack]') stack += n;
      else if ((v.prot & PROT_EXEC) !== 0) {
        if (v.object !== null && v.object.key === mm.exe?.key) exec += n;
        else lib += n;
      } else if ((v.prot & PROT_WRITE) !== 0 && (v.flags & MAP_SHARED) === 0) data += n;
    }
    s += `VmPeak:\t${kb(mm.vmas.total)}\nVmSize:\t${kb(mm.vmas.total)}\nVmLck:\t${kb(locked)}\nVmPin:\t${kb(0)}\n`;
    s += `VmHWM:\t${kb(rss)}\nVmRSS:\t${kb(rss)}\nRssAnon:\t${kb(Math.floor(rss / 2))}\nRssFile:\t${kb(rss - Math.floor(rss / 2))}\nRssShmem:\t${kb(0)}\n`;
    s += `VmData:\t${kb(data)}\nVmStk:\t${kb(stack)}\nVmExe:\t${kb(exec)}\nVmLib:\t${kb(lib)}\nVmPTE:\t${kb(mm.vmas.list.length * PAGE)}\nVmSwap:\t${kb(0)}\n`;
    s += 'HugetlbPages:\t       0 kB\nCoreDumping:\t0\nTHP_enabled:\t1\n';
  }
  s += `Threads:\t${g.tasks.size}\nSigQ:\t${t.pending.queued + g.pending.queued}/31393\n`;
  s += `SigPnd:\t${hex64(t.pending.lo, t.pending.hi)}\nShdPnd:\t${hex64(g.pending.lo, g.pending.hi)}\nSigBlk:\t${hex64(t.maskLo, t.maskHi)}\n`;
  s += `SigIgn:\t${hex64(ignoredLo, ignoredHi)}\nSigCgt:\t${hex64(caughtLo, caughtHi)}\n`;
  s += `CapInh:\t${caps(c.inheritable)}\nCapPrm:\t${caps(c.permitted)}\nCapEff:\t${caps(c.effective)}\nCapBnd:\t${caps(c.bounding)}\nCapAmb:\t${caps(c.ambient)}\n`;
  const [mask, list] = cpuMask(t);
  s += `NoNewPrivs:\t${c.noNewPrivs ? 1 : 0}\nSeccomp:\t${t.seccomp?.mode ?? 0}\nSeccomp_filters:\t${t.seccomp?.count ?? 0}\nSpeculation_Store_Bypass:\tunknown\n`;
  s += `Cpus_allowed:\t${mask}\nCpus_allowed_list:\t${list}\nMems_allowed:\t1\nMems_allowed_list:\t0\n`;
  s += `voluntary_ctxt_switches:\t${t.syscalls}\nnonvoluntary_ctxt_switches:\t0\n`;
  return s;
}

/** /proc/PID/stat in `proc`. */
export function statText(t: Task, thread: boolean, proc: ProcFs): string {
  const x = proc.extras;
  const ns = proc.pidns;
  const g = t.tg;
  const k = t.kernel;
  const mm = t.mm;
  const dead = gone(t);
  const [caughtLo, , ignoredLo] = dispositions(t);
  const tty = g.session.tty;
  const cpu = Math.floor((thread ? x.taskCpuNs(t) : x.groupCpuNs(g)) / TICK_NS);
  const l = mm.layout;
  const prio = t.policy === 1 || t.policy === 2 ? -1 - t.rtPriority : 20 + t.nice;
  const fields = [
    t.pid.in(ns),
    `(${t.name})`,
    stateOf(t)[0]!,
    g.parent?.pid.in(ns) ?? 0,
    g.pgrp.pid.in(ns),
    g.session.pid.in(ns),
    tty === null ? 0 : ttyNumber(tty.dev),
    tty === null ? -1 : (tty.foreground?.pid.in(ns) ?? -1),
    0x400000,
    0,
    0,
    0,
    0,
    cpu,
    0,
    Math.floor(g.childUsage.userNs / TICK_NS),
    Math.floor(g.childUsage.systemNs / TICK_NS),
    prio,
    t.nice,
    g.tasks.size,
    0,
    Math.max(0, Math.floor(((thread ? t.startNs : g.startNs) - k.bootNs) / TICK_NS)),
    dead ? 0 : mm.vmas.total,
    dead ? 0 : Math.floor(residentBytes(mm) / PAGE),
    g.limitSoft[5] === Infinity ? '18446744073709551615' : g.limitSoft[5]!,
    0,
    0,
    dead ? 0 : l.stackTop,
    0,
    0,
    t.pending.lo | 0,
    t.maskLo | 0,
    ignoredLo | 0,
    caughtLo | 0,
    0,
    0,
    0,
    g.exitSignal,
    0,
    t.rtPriority,
    t.policy,
    0,
    0,
    0,
    0,
    0,
    dead ? 0 : mm.brkStart,
    dead ? 0 : l.argStart,
    dead ? 0 : l.argEnd,
    dead ? 0 : l.envStart,
    dead ? 0 : l.envEnd,
    g.exitStatus,
  ];
  for (let i = 30; i < 34; i++) fields[i] = (fields[i] as number) >>> 0;
  return `${fields.join(' ')}\n`;
}

/** tty_nr: minor in bits 31-20 and 7-0, major in 15-8. */
function ttyNumber(dev: number): number {
  const minor = devMinor(dev);
  return (devMajor(dev) << 8) | (minor & 0xff) | ((minor >> 8) << 20);
}

export function statmText(t: Task): string {
  if (gone(t)) return '0 0 0 0 0 0 0\n';
  let text = 0;
  let data = 0;
  for (const v of t.mm.vmas.list) {
    if ((v.prot & PROT_EXEC) !== 0) text += v.end - v.start;
    else if ((v.prot & PROT_WRITE) !== 0) data += v.end - v.start;
  }
  const pages = (n: number): number => Math.floor(n / PAGE);
  const rss = pages(residentBytes(t.mm));
  return `${pages(t.mm.vmas.total)} ${rss} ${Math.floor(rss / 2)} ${pages(text)} 0 ${pages(data)} 0\n`;
}

/** Guest memory [start, end) as far as it can be read. */
export function guestText(t: Task, start: number, end: number): string {
  if (gone(t) || end <= start) return '';
  const buf = new Uint8Array(Math.min(end - start, TEXT_MOST));
  const n = t.mm.readUpTo(start, buf, 0, buf.length);
  return latin1Decode(buf, 0, Math.max(0, n));
}

/** The arguments; a program that wrote over them (setproctitle) may have gone on into the environment. */
export function cmdlineText(t: Task): string {
  const l = t.mm.layout;
  const args = guestText(t, l.argStart, l.argEnd);
  if (args === '' || args.charCodeAt(args.length - 1) === 0) return args;
  const more = args.indexOf('\0') >= 0 ? '' : guestText(t, l.argEnd, l.envEnd);
  const all = args + more;
  const nul = all.indexOf('\0');
  return nul < 0 ? all : all.slice(0, nul + 1);
}

function perms(v: Vma): string {
  const p = v.prot;
  return `${(p & PROT_READ) !== 0 ? 'r' : '-'}${(p & PROT_WRITE) !== 0 ? 'w' : '-'}${(p & PROT_EXEC) !== 0 ? 'x' : '-'}${(v.flags & MAP_SHARED) !== 0 ? 's' : 'p'}`;
}

function mapsLine(start: number, end: number, p: string, offset: number, dev: number, ino: number, name: string): string {
  const hex = (n: number, w: number): string => n.toString(16).padStart(w, '0');
  const s = `${hex(start, 8)}-${hex(end, 8)} ${p} ${hex(offset, 8)} ${hex(devMajor(dev), 2)}:${hex(devMinor(dev), 2)} ${ino}`;
  return name === '' ? `${s} \n` : `${`${s} `.padEnd(MAPS_PATH_COLUMN)}${name.replace(/\n/g, '\\012')}\n`;
}

function vmaLine(v: Vma): string {
  const o = v.object;
  return mapsLine(v.start, v.end, perms(v), o === null ? 0 : v.offset, o?.dev ?? 0, o?.ino ?? 0, o === null ? v.label : o.mapName());
}

function vdsoLine(t: Task): string {
  const p = t.mm.platform;
  return p.vdsoSize === 0 ? '' : mapsLine(p.vdsoAddress, p.vdsoAddress + p.vdsoSize, 'r-xp', 0, 0, 0, '[vdso]');
}

export function mapsText(t: Task): string {
  if (gone(t)) return '';
  let s = '';
  for (const v of t.mm.vmas.list) s += vmaLine(v);
  return s + vdsoLine(t);
}

export function smapsText(t: Task): string {
  if (gone(t)) return '';
  let s = '';
  for (const v of t.mm.vmas.list) {
    const kb = `${String((v.end - v.start) / 1024).padStart(8)} kB`;
    const rss = v.prot === 0 ? '       0 kB' : kb;
    const zero = '       0 kB';
    const dirty = (v.prot & PROT_WRITE) !== 0 ? rss : zero;
    const clean = (v.prot & PROT_WRITE) !== 0 ? zero : rss;
    s += vmaLine(v);
    s += `Size:           ${kb}\nKernelPageSize:        4 kB\nMMUPageSize:           4 kB\nRss:            ${rss}\nPss:            ${rss}\nPss_Dirty:      ${dirty}\n`;
    s += `Shared_Clean:   ${zero}\nShared_Dirty:   ${zero}\nPrivate_Clean:  ${clean}\nPrivate_Dirty:  ${dirty}\nReferenced:     ${rss}\n`;
    s += `Anonymous:      ${v.object === null ? rss : zero}\nAnonHugePages:  ${zero}\nSwap:           ${zero}\nSwapPss:        ${zero}\nLocked:         ${v.locked ? rss : zero}\n`;
    const f = [(v.prot & PROT_READ) !== 0 ? 'rd' : '', (v.prot & PROT_WRITE) !== 0 ? 'wr' : '', (v.prot & PROT_EXEC) !== 0 ? 'ex' : ''];
    s += `THPeligible:    0\nVmFlags: ${f.filter((w) => w !== '').join(' ')} mr mw me \n`;
  }
  return s;
}

const LIMITS: readonly (readonly [string, number, string])[] = [
  ['Max cpu time', 0, 'seconds'],
  ['Max file size', 1, 'bytes'],
  ['Max data size', 2, 'bytes'],
  ['Max stack size', 3, 'bytes'],
  ['Max core file size', 4, 'bytes'],
  ['Max resident set', 5, 'bytes'],
  ['Max processes', 6, 'processes'],
  ['Max open files', 7, 'files'],
  ['Max locked memory', 8, 'bytes'],
  ['Max address space', 9, 'bytes'],
  ['Max file locks', 10, 'locks'],
  ['Max pending signals', 11, 'signals'],
  ['Max msgqueue size', 12, 'bytes'],
  ['Max nice priority', 13, ''],
  ['Max realtime priority', 14, ''],
  ['Max realtime timeout', 15, 'us'],
];

export function limitsText(t: Task): string {
  const show = (v: number): string => (v === Infinity ? 'unlimited' : String(v));
  let s = 'Limit                     Soft Limit           Hard Limit           Units     \n';
  for (const [name, i, unit] of LIMITS) {
    s += `${name.padEnd(25)} ${show(t.tg.limitSoft[i]!).padEnd(20)} ${show(t.tg.limitHard[i]!).padEnd(20)} ${unit.padEnd(10)}\n`;
  }
  return s;
}

function escapeField(s: string): string {
  return s.replace(/[ \t\n\\#]/g, (ch) => `\\${ch.charCodeAt(0).toString(8).padStart(3, '0')}`);
}

function mountsOf(t: Task): Mount[] {
  return t.fs.rootMount.ns?.list() ?? [];
}

/** /proc/PID/mountinfo: mounts below the task's root, with source, type and options as configured. */
export function mountinfoText(t: Task): string {
  let s = '';
  for (const m of mountsOf(t)) {
    const path = mountPath(t, m);
    if (path === null) continue;
    const dev = `${devMajor(m.fs.dev)}:${devMinor(m.fs.dev)}`;
    s += `${m.id} ${m.parent?.id ?? m.id} ${dev} ${escapeField(pathInFs(m.root))} ${escapeField(path)} ${m.flagWords()} - ${m.fs.name} ${escapeField(m.source)} ${m.fs.options()}\n`;
  }
  return s;
}

export function mountsText(t: Task): string {
  let s = '';
  for (const m of mountsOf(t)) {
    const path = mountPath(t, m);
    if (path === null) continue;
    // The file system's options follow the mount's own; both say whether it is read-only, once is enough.
    const more = m.fs.options().replace(/^r[ow],?/, '');
    s += `${escapeField(m.source)} ${escapeField(path)} ${m.fs.name} ${m.flagWords()}${more === '' ? '' : `,${more}`} 0 0\n`;
  }
  return s;
}

export function mountstatsText(t: Task): string {
  let s = '';
  for (const m of mountsOf(t)) {
    const path = mountPath(t, m);
    if (path !== null) s += `device ${escapeField(m.source)} mounted on ${escapeField(path)} with fstype ${m.fs.name}\n`;
  }
  return s;
}

/** /proc/PID/fdinfo/N in `proc`. */
export function fdinfoText(f: File, proc: ProcFs): string {
  const pid = (id: number): number => numberIn(proc.kernel.pidOf(id), proc.pidns);
  let s = `pos:\t${f.pos}\nflags:\t0${f.flags.toString(8)}\nmnt_id:\t${f.mount?.id ?? 0}\nino:\t${f.inode.ino}\n`;
  const locks = f.inode.locks as FileLocks | null;
  if (locks !== null) {
    let n = 1;
    for (const l of locks.whole) {
      if (l.owner === f) s += `lock:\t${n++}: FLOCK  ADVISORY  ${l.exclusive ? 'WRITE' : 'READ'} ${pid(l.pid)} ${lockPlace(f)} 0 EOF\n`;
    }
    for (const l of locks.records) {
      const kind = typeof l.owner === 'number' ? 'POSIX ' : 'OFDLCK';
      s += `lock:\t${n++}: ${kind} ADVISORY  ${l.type === 1 ? 'WRITE' : 'READ'} ${typeof l.owner === 'number' ? pid(l.pid) : -1} ${lockPlace(f)} ${l.start} ${l.end === Infinity ? 'EOF' : l.end - 1}\n`;
    }
  }
  return s + f.fdinfo(proc.pidns);
}

function lockPlace(f: File): string {
  const dev = f.inode.fs.dev;
  const hex = (n: number): string => n.toString(16).padStart(2, '0');
  return `${hex(devMajor(dev))}:${hex(devMinor(dev))}:${f.inode.ino}`;
}

/** Sum of what all groups used, ns. */
export function allCpuNs(k: Kernel, x: ProcExtras): number {
  let n = 0;
  k.forEachGroup((g) => {
    n += x.groupCpuNs(g);
  });
  return n;
}

/** -EACCES unless `by` may look into `t` (ptrace_may_access, by ids). */
export function mayLook(by: Task, t: Task): number {
  if (by.tg === t.tg) return 0;
  const a = by.creds;
  const b = t.creds;
  const same =
    a.fsuid === b.euid && a.fsuid === b.suid && a.fsuid === b.ruid && a.fsgid === b.egid && a.fsgid === b.sgid && a.fsgid === b.rgid;
  if ((same && t.mm.dumpable === 1) || a.has(CAP_SYS_PTRACE)) return 0;
  return -EACCES;
}
