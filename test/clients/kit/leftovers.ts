// What a client and its runtime may leave on the host: processes, mounts, cgroups, sockets. All of it is looked for by words that only the
// test in question uses, since others may be at work on the same host.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export interface HostProcess {
  pid: number;
  parent: number;
  /** One letter, as in /proc/PID/stat. */
  state: string;
  /** Arguments, joined by spaces; the name in brackets for a process that has none. */
  args: string;
}

/** All processes of the host that are no kernel threads. */
export function hostProcesses(): HostProcess[] {
  const all: HostProcess[] = [];
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'latin1');
      const [state, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ') as [string, string];
      const command = stat.slice(stat.indexOf('('), stat.lastIndexOf(')') + 1);
      const args = readFileSync(`/proc/${name}/cmdline`, 'latin1').split('\0').join(' ').trim();
      all.push({ pid: Number(name), parent: Number(parent), state, args: args === '' ? command : args });
    } catch {
      // it has ended meanwhile
    }
  }
  return all;
}

/** Adopting processes (reaper.c) with this tag and all their descendants, zombies included: nobody may leave any behind. */
function family(tag: string): HostProcess[] {
  const all = hostProcesses();
  const found = all.filter((p) => p.args.split(' ')[0]?.endsWith('/reaper') && p.args.split(' ')[1] === tag);
  const pids = new Set(found.map((p) => p.pid));
  for (let more = true; more; ) {
    more = false;
    for (const p of all) {
      if (pids.has(p.pid) || !pids.has(p.parent)) continue;
      pids.add(p.pid);
      found.push(p);
      more = true;
    }
  }
  return found;
}

/** What commands with this tag left running, without the adopting processes themselves. */
export function processesOf(tag: string): HostProcess[] {
  return family(tag).filter((p) => !p.args.includes(`/reaper ${tag} `));
}

/** Kills what is left under a tag. */
export async function endProcesses(tag: string): Promise<void> {
  for (let round = 0; round < 50; round++) {
    const left = processesOf(tag).filter((p) => p.state !== 'Z');
    if (left.length === 0) return;
    for (const p of left) {
      try {
        process.kill(p.pid, 'SIGKILL');
      } catch {
        // it has ended meanwhile
      }
    }
    await new Promise((done) => setTimeout(done, 100));
  }
}

/** Mount points of this mount namespace below a folder, in mount order: `mount PATH`. */
export function mountsBelow(folder: string): string[] {
  return readFileSync('/proc/self/mountinfo', 'latin1')
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '')
    .filter((path) => path === folder || path.startsWith(`${folder}/`))
    .map((path) => `mount ${path}`);
}

/** Cgroups of any hierarchy whose path has one of the words: `cgroup PATH`. */
export function cgroupsNamed(words: string[]): string[] {
  const found: string[] = [];
  const walk = (folder: string): void => {
    let entries: string[];
    try {
      entries = readdirSync(folder, { withFileTypes: true })
        .filter((e) => e.isDirectory())
        .map((e) => e.name);
    } catch {
      return; // removed meanwhile
    }
    for (const name of entries) {
      const path = join(folder, name);
      if (words.some((w) => path.includes(w))) found.push(`cgroup ${path}`);
      walk(path);
    }
  };
  walk('/sys/fs/cgroup');
  return found;
}

/** Unix sockets bound to a path that has one of the words: `socket PATH`. */
export function socketsNamed(words: string[]): string[] {
  return readFileSync('/proc/net/unix', 'latin1')
    .split('\n')
    .map((line) => line.trim().split(/\s+/)[7] ?? '')
    .filter((path) => path !== '' && words.some((w) => path.includes(w)))
    .map((path) => `socket ${path}`);
}
