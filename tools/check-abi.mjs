// Compares src/abi with the headers of this machine: every constant that they know, and every layout of its files named layouts.ts. What
// an architecture has its own way stands in a folder with its name.
//
//   node tools/check-abi.mjs [-v]      -v names the constants that no header here knows (newer than the headers, or the kernel's own)
//
// Constants are compared in two worlds, because the C library and the kernel name some things differently and their headers do not
// mix: a constant is wrong when a world knows it and none agrees.

import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const folders = ['src/abi', 'src/abi/x86_64'];
const verbose = process.argv.includes('-v');
const work = mkdtempSync(join(tmpdir(), 'check-abi-'));
const cc = process.env.CC ?? 'gcc';

const kernelHeaders = `linux/posix_types.h asm/signal.h asm/siginfo.h asm/ucontext.h asm/stat.h linux/stat.h asm/statfs.h asm/fcntl.h
  linux/fcntl.h linux/openat2.h asm/mman.h linux/mman.h linux/memfd.h linux/time.h linux/time_types.h linux/timex.h linux/resource.h
  linux/sched.h linux/sched/types.h linux/wait.h linux/futex.h asm/poll.h linux/eventpoll.h linux/eventfd.h linux/timerfd.h linux/signalfd.h
  linux/inotify.h linux/fanotify.h asm/ioctls.h asm/termbits.h asm/termios.h linux/tty.h linux/fs.h linux/prctl.h asm/prctl.h linux/capability.h
  linux/securebits.h linux/mount.h linux/magic.h linux/xattr.h linux/uio.h linux/ipc.h linux/sem.h linux/shm.h linux/msg.h linux/mqueue.h
  linux/reboot.h linux/random.h linux/seccomp.h linux/filter.h linux/audit.h linux/bpf.h linux/elf.h linux/auxvec.h asm/auxvec.h linux/membarrier.h
  linux/close_range.h linux/kcmp.h linux/rseq.h linux/falloc.h linux/personality.h linux/sockios.h linux/netlink.h linux/rtnetlink.h linux/pidfd.h
  linux/un.h linux/in.h linux/in6.h linux/ipv6.h linux/tcp.h linux/udp.h asm/socket.h linux/if_ether.h linux/if_packet.h linux/if_arp.h
  linux/errqueue.h linux/perf_event.h linux/keyctl.h linux/quota.h linux/ioprio.h linux/kd.h linux/vt.h linux/utime.h linux/times.h
  linux/utsname.h linux/sysinfo.h linux/if_addr.h linux/fsverity.h linux/nsfs.h linux/landlock.h linux/mempolicy.h linux/adjtimex.h
  linux/elf-em.h linux/limits.h linux/swab.h asm/ptrace.h linux/ptrace.h linux/acct.h linux/blkpg.h linux/fiemap.h linux/loop.h linux/hdreg.h
  linux/net_tstamp.h linux/major.h linux/rseq.h`;
const libcHeaders = `errno.h sys/syscall.h fcntl.h sys/stat.h sys/mman.h signal.h sched.h poll.h sys/epoll.h sys/eventfd.h sys/timerfd.h
  sys/signalfd.h sys/inotify.h sys/socket.h netinet/in.h netinet/ip.h netinet/tcp.h netinet/udp.h netinet/icmp6.h netpacket/packet.h net/if.h
  net/if_arp.h sys/un.h sys/ioctl.h termios.h sys/wait.h sys/resource.h time.h sys/time.h sys/timex.h elf.h link.h sys/auxv.h sys/prctl.h
  sys/mount.h sys/statfs.h sys/statvfs.h sys/xattr.h sys/uio.h sys/ipc.h sys/sem.h sys/shm.h sys/msg.h mqueue.h sys/reboot.h sys/random.h
  sys/personality.h sys/ptrace.h sys/user.h sys/swap.h sys/quota.h sys/fanotify.h sys/klog.h sys/file.h unistd.h limits.h dirent.h ucontext.h`;

function words(text) {
  return [...new Set(text.split(/\s+/).filter((w) => w !== ''))];
}

/** Names of headers that exist here. */
function present(headers) {
  const test = headers.map((h) => `#if __has_include(<${h}>)\n"yes ${h}"\n#endif\n`).join('');
  const out = execFileSync(cc, ['-E', '-P', '-x', 'c', '-'], { input: test, encoding: 'utf8' });
  return out.match(/(?<="yes )[^"]+/g) ?? [];
}

/** Leaves out headers that do not compile behind those before them, all named in one go where that works. */
function usable(prefix, headers) {
  const compile = (list) =>
    spawnSync(cc, ['-fsyntax-only', '-w', '-x', 'c', '-'], { input: prefix + list.map((h) => `#include <${h}>\n`).join('') }).status === 0;
  const good = [];
  const add = (list) => {
    if (list.length === 0 || compile([...good, ...list])) good.push(...list);
    else if (list.length > 1) {
      const half = list.length >> 1;
      add(list.slice(0, half));
      add(list.slice(half));
    }
  };
  add(present(headers));
  return prefix + good.map((h) => `#include <${h}>\n`).join('');
}

function compileAndRun(name, source) {
  const file = join(work, `${name}.c`);
  writeFileSync(file, source);
  const r = spawnSync(cc, ['-w', '-o', join(work, name), file], { encoding: 'utf8' });
  if (r.error !== undefined) throw r.error;
  if (r.status !== 0) return { errors: r.stderr, out: '' };
  return { errors: '', out: execFileSync(join(work, name), { encoding: 'utf8', maxBuffer: 1 << 26 }) };
}

/** Values that a world of headers gives to those of `names` that it knows. */
function valuesIn(world, head, names) {
  const macros = new Set(
    execFileSync(cc, ['-dM', '-E', '-x', 'c', '-'], { input: head, encoding: 'utf8', maxBuffer: 1 << 26 }).match(/(?<=^#define )\w+/gm),
  );
  let known = names.filter((n) => macros.has(n));
  // Enumerators are no macros: what the compiler does not complain about is one.
  const others = names.filter((n) => !macros.has(n));
  const probe = (list) =>
    `${head}\n${list.map((n, i) => `\n# ${i + 1} "probe"\nstatic const long long v_${n} = (long long)(${n});`).join('')}\n`;
  const failing = (list) => {
    const r = spawnSync(cc, ['-fsyntax-only', '-w', '-fmax-errors=0', '-x', 'c', '-'], {
      input: probe(list),
      encoding: 'utf8',
      maxBuffer: 1 << 26,
    });
    return new Set([...r.stderr.matchAll(/^probe:(\d+):\d*:? ?error/gm)].map((m) => list[Number(m[1]) - 1]));
  };
  const bad = failing([...known, ...others]);
  known = [...known, ...others].filter((n) => !bad.has(n));
  const body = known.map((n) => `printf("${n} %lld\\n", (long long)(${n}));`).join('\n');
  const { errors, out } = compileAndRun(world, `${head}\nint printf(const char *, ...);\nint main(void) {\n${body}\nreturn 0;\n}\n`);
  if (errors !== '') throw new Error(`constants of ${world}:\n${errors.split('\n').slice(0, 10).join('\n')}`);
  const values = new Map();
  for (const line of out.split('\n')) {
    const [name, value] = line.split(' ');
    if (value !== undefined) values.set(name, Number(value));
  }
  return values;
}

function constants(problems) {
  const ours = [];
  for (const folder of folders) {
    for (const file of readdirSync(join(root, folder)).sort()) {
      if (!file.endsWith('.ts') || file === 'layouts.ts' || file === 'registers.ts') continue;
      const module = importConstants(join(root, folder, file));
      for (const [name, value] of module) ours.push({ file: `${folder}/${file}`, name, value });
    }
  }
  const names = [...new Set(ours.map((c) => c.name))];
  const kernelHead = '#define __EXPORTED_HEADERS__\n#include <linux/types.h>\n';
  const worlds = [
    valuesIn('libc', usable('#define _GNU_SOURCE\n', words(libcHeaders)), names),
    valuesIn('kernel', usable(kernelHead, words(kernelHeaders)), names),
  ];
  let compared = 0;
  const unknown = [];
  for (const { file, name, value } of ours) {
    const theirs = worlds.map((w) => w.get(name)).filter((v) => v !== undefined);
    if (theirs.length === 0) {
      unknown.push(name);
      continue;
    }
    compared++;
    const same = (a) =>
      a === value ||
      (a < 0 && a + 2 ** 32 === value) ||
      (value < 0 && value + 2 ** 32 === a) ||
      Number(BigInt.asUintN(64, BigInt(a))) === value;
    if (!theirs.some(same)) problems.push(`${file}: ${name} is ${value}, the headers say ${theirs.join(' or ')}`);
  }
  process.stdout.write(`${compared} constants agree with the headers, ${unknown.length} are unknown to them\n`);
  if (verbose) process.stdout.write(`${unknown.join(' ')}\n`);
}

/** `export const NAME = number;` of a file, without running TypeScript. */
function importConstants(path) {
  const out = [];
  for (const m of readFileSync(path, 'utf8').matchAll(/^export const (\w+) = (-?(?:0x[0-9a-fA-F]+|\d+));/gm)) {
    out.push([m[1], m[2].startsWith('-') ? -Number(m[2].slice(1)) : Number(m[2])]);
  }
  return out;
}

function layouts(problems) {
  const all = [];
  for (const file of folders.map((f) => `${f}/layouts.ts`)) {
    const text = readFileSync(join(root, file), 'utf8');
    for (const m of text.matchAll(/\/\*\* ([^<\n]+) <([^>\n]+)>[^\n]*\*\/\nexport const (\w+) = \{([^}]*)\} as const;/g)) {
      const fields = [...m[4].matchAll(/(\w+): (\d+)/g)].map((f) => [f[1], Number(f[2])]);
      all.push({ file, type: m[1], header: m[2], name: m[3], fields });
    }
  }
  let count = 0;
  for (const world of ['kernel', 'libc']) {
    const group = all.filter((l) => /^(linux|asm)\//.test(l.header) === (world === 'kernel'));
    const headers = [...new Set(group.map((l) => l.header))];
    const head =
      world === 'libc' ? ['#define _GNU_SOURCE'] : ['linux/posix_types.h', 'asm/signal.h', 'linux/time.h'].map((h) => `#include <${h}>`);
    const lines = [
      ...head,
      ...headers.map((h) => `#include <${h}>`),
      '#include <stddef.h>',
      'int printf(const char *, ...);',
      'int main(void) {',
    ];
    for (const { type, name, fields } of group) {
      for (const [field] of fields) {
        const value = field === 'size' ? `sizeof(${type})` : `offsetof(${type}, ${field})`;
        lines.push(`printf("${name} ${field} %zu\\n", ${value});`);
      }
    }
    const { errors, out } = compileAndRun(`layouts-${world}`, `${lines.join('\n')}\nreturn 0;\n}\n`);
    if (errors !== '') {
      problems.push(`layouts of ${world} do not compile:\n${errors.split('\n').slice(0, 12).join('\n')}`);
      continue;
    }
    const values = new Map(out.split('\n').map((l) => [l.slice(0, l.lastIndexOf(' ')), Number(l.slice(l.lastIndexOf(' ') + 1))]));
    for (const { file, name, fields } of group) {
      for (const [field, value] of fields) {
        count++;
        const theirs = values.get(`${name} ${field}`);
        if (theirs !== value) problems.push(`${file}: ${name}.${field} is ${value}, the headers say ${theirs}`);
      }
    }
  }
  process.stdout.write(`${count} sizes and offsets of ${all.length} layouts agree with the headers\n`);
}

/** Registers stand in the order of struct user_regs_struct, whose layout is checked above; the C library has other things of these names. */
function registers(problems) {
  const layout = /export const USER_REGS = \{([^}]*)\}/.exec(readFileSync(join(root, 'src/abi/x86_64/layouts.ts'), 'utf8'))[1];
  const offsets = new Map([...layout.matchAll(/(\w+): (\d+)/g)].map((f) => [f[1], Number(f[2])]));
  const file = 'src/abi/x86_64/registers.ts';
  for (const [name, value] of importConstants(join(root, file))) {
    const offset = offsets.get(name.slice('REG_'.length).toLowerCase());
    if (name !== 'REG_COUNT' && offset !== 8 * value) problems.push(`${file}: ${name} is ${value}, USER_REGS says ${offset} bytes`);
  }
}

const problems = [];
try {
  constants(problems);
  layouts(problems);
  registers(problems);
} finally {
  rmSync(work, { recursive: true, force: true });
}
for (const p of problems) process.stdout.write(`${p}\n`);
process.exit(problems.length > 0 ? 1 : 0);
