// The control server: requests of the entrypoint's commands (src/wire/control.ts), answered from the Sentry's loop.

import { EPOLLHUP, EPOLLIN } from '../../abi/epoll.ts';
import { EAGAIN, EINVAL, ENOENT, ESRCH } from '../../abi/errno.ts';
import { latin1Decode } from '../../base/bytes.ts';
import { type HostIO, newHostStat } from '../../platform/hostio.ts';
import { type ControlRequest, type ControlResponse, MAX_LONG, MAX_PACKET, type PsRow, type SentStreams } from '../../wire/control.ts';
import type { Kernel } from '../kernel/kernel.ts';
import { TASK_STOPPED } from '../kernel/task.ts';
import { ThreadGroup } from '../kernel/threadgroup.ts';
import { groupCpuNs } from '../kernel/usage.ts';
import { Container } from './container.ts';
import { Donated } from './process.ts';
import type { Sandbox } from './sandbox.ts';

/** UTF-8 text of packets; given by boot. */
export interface Utf8 {
  decode(b: Uint8Array): string;
  encode(s: string): Uint8Array;
}

/** A `wait` that has not been answered. */
interface Waiter {
  fd: number;
  container: Container;
  /** 0: the first process. */
  pid: number;
}

/** What came with a request. */
interface Arrived {
  streams: Donated;
  standin: number;
}

const stat = newHostStat();
const NEVER_READY: ControlResponse = { ok: false, error: 'the container has ended', errno: -ESRCH };

export class ControlServer {
  private readonly kernel: Kernel;
  private readonly host: HostIO;
  private readonly sandbox: Sandbox;
  private readonly utf8: Utf8;
  private readonly accept: (fd: number) => number;
  private readonly packet = new Uint8Array(MAX_PACKET);
  private waiters: Waiter[] = [];
  /** Those who wait for a container to be ready. */
  private unready: Waiter[] = [];

  constructor(kernel: Kernel, sandbox: Sandbox, listenFd: number, clients: readonly number[], accept: (fd: number) => number, utf8: Utf8) {
    this.kernel = kernel;
    this.host = kernel.host;
    this.sandbox = sandbox;
    this.accept = accept;
    this.utf8 = utf8;
    sandbox.onChange((c, g, status, stopped) => this.changed(c, g, status, stopped));
    for (const fd of clients) this.serve(fd);
    if (listenFd < 0) return;
    this.host.setNonblock(listenFd, true);
    this.host.watch(listenFd, EPOLLIN, () => {
      for (let fd = accept(listenFd); fd >= 0; fd = this.accept(listenFd)) this.serve(fd);
    });
  }

  private serve(fd: number): void {
    this.host.setNonblock(fd, true);
    this.host.watch(fd, EPOLLIN | EPOLLHUP, () => this.receive(fd));
  }

  private receive(fd: number): void {
    for (;;) {
      const fds: number[] = [];
      const n = this.host.recvFds(fd, this.packet, 0, this.packet.length, fds);
      if (n === -EAGAIN) return;
      if (n <= 0) {
        this.waiters = this.waiters.filter((w) => w.fd !== fd);
        this.unready = this.unready.filter((w) => w.fd !== fd);
        this.host.unwatch(fd);
        this.host.close(fd);
        return;
      }
      let answer: ControlResponse | null;
      try {
        let r = JSON.parse(this.utf8.decode(this.packet.subarray(0, n))) as ControlRequest;
        if (r.method === 'long') r = JSON.parse(this.readLong(fds.shift() ?? -1)) as ControlRequest;
        answer = this.handle(fd, r, fds);
      } catch (e) {
        answer = { ok: false, error: `bad request: ${e instanceof Error ? e.message : String(e)}`, errno: -EINVAL };
      }
      // What nobody took.
      for (const d of fds) this.host.close(d);
      if (answer !== null) this.answer(fd, answer);
    }
  }

  /** A request that came in a memfd, which is closed. */
  private readLong(fd: number): string {
    const err = fd < 0 ? -EINVAL : this.host.fstat(fd, stat);
    const size = stat.size;
    try {
      if (err < 0 || size > MAX_LONG) throw new Error(`${size} bytes, ${MAX_LONG} are allowed`);
      const b = new Uint8Array(size);
      for (let at = 0; at < size; ) {
        const n = this.host.pread(fd, b, at, size - at, at);
        if (n <= 0) throw new Error('it is cut short');
        at += n;
      }
      return this.utf8.decode(b);
    } finally {
      if (fd >= 0) this.host.close(fd);
    }
  }

  private answer(fd: number, r: ControlResponse): void {
    const b = this.utf8.encode(JSON.stringify(r));
    this.host.sendFds(fd, b, 0, b.length, []);
  }

  private handle(fd: number, r: ControlRequest, fds: number[]): ControlResponse | null {
    if (r.method === 'create') return this.create(r, fds);
    if (r.method === 'long') return { ok: false, error: 'a long request in a long one', errno: -EINVAL };
    const c = this.sandbox.get(r.id);
    if (c === null) return { ok: false, error: `container does not exist: ${r.id}`, errno: -ENOENT };
    switch (r.method) {
      case 'start': {
        if (c.init !== null || c.status >= 0) return { ok: false, error: 'the container has been started', errno: -EINVAL };
        const g = c.start();
        return g instanceof ThreadGroup ? { ok: true, pid: c.number(g) } : { ok: false, error: g.error, errno: g.errno };
      }
      case 'exec': {
        if (c.status >= 0) return { ok: false, error: `cannot exec in a container that is ${c.state}`, errno: -EINVAL };
        const a = this.take(r, fds);
        const g = c.exec(r.process, a.streams, a.standin);
        return g instanceof ThreadGroup ? { ok: true, pid: c.number(g) } : { ok: false, error: g.error, errno: g.errno };
      }
      case 'signal':
        return this.signal(c, r.pid, r.signal, r.all);
      case 'wait':
        return this.wait(fd, c, r.pid);
      case 'ready':
        return this.ready(fd, c);
      case 'state':
        return {
          ok: true,
          state: c.state,
          ...(c.init === null ? {} : { pid: c.number(c.init) }),
          ...(c.status < 0 ? {} : { status: c.status }),
        };
      case 'ps':
        return { ok: true, ps: this.ps(c) };
      case 'statistics':
        return { ok: true, statistics: this.statistics(c) };
      case 'update':
        this.kernel.limits.get(r.id)?.update(r.limits);
        return { ok: true };
      case 'pause':
        if (c.state !== 'running' && c.state !== 'created') return { ok: false, error: `the container is ${c.state}`, errno: -EINVAL };
        c.pause();
        return { ok: true };
      case 'resume':
        if (c.state !== 'paused') return { ok: false, error: `the container is ${c.state}`, errno: -EINVAL };
        c.resume();
        return { ok: true };
      case 'resize':
        c.resize(r.pid === 0 ? null : c.find(r.pid), r.rows, r.cols);
        return { ok: true };
      case 'destroy':
        this.sandbox.destroy(c);
        return { ok: true };
      default:
        return { ok: false, error: 'unknown method', errno: -EINVAL };
    }
  }

  /** Takes the streams and the stand-in's socket out of `fds`. Throws when there are too few. */
  private take(r: SentStreams, fds: number[]): Arrived {
    if (fds.length < r.streams.length + (r.console ? 2 : 0) + r.extra + (r.standin ? 1 : 0)) throw new Error('descriptors are missing');
    const streams = Donated.none();
    const next = (): number => fds.shift() ?? -1;
    for (const s of r.streams) streams.fds[s === 'in' ? 0 : s === 'out' ? 1 : 2] = next();
    if (r.console) {
      streams.consoleIn = next();
      streams.consoleOut = next();
    }
    for (let n = 0; n < r.extra; n++) streams.extra.push(next());
    return { streams, standin: r.standin ? next() : -1 };
  }

  private create(r: Extract<ControlRequest, { method: 'create' }>, fds: number[]): ControlResponse {
    if (r.container.id !== r.id) throw new Error('two ids');
    const gofer = fds.shift();
    if (gofer === undefined) throw new Error('descriptors are missing');
    const own = { groups: fds.splice(0, r.groups), counters: Object.fromEntries(r.counters.map((name) => [name, fds.shift() ?? -1])) };
    let a: Arrived;
    try {
      a = this.take(r, fds);
    } catch (e) {
      for (const fd of [gofer, ...own.groups, ...Object.values(own.counters)]) this.host.close(fd);
      throw e;
    }
    const c = this.sandbox.create(r.container, gofer, own, a.streams, a.standin);
    return c instanceof Container ? { ok: true } : { ok: false, error: c.error, errno: c.errno };
  }

  private signal(c: Container, pid: number, signal: number, all: boolean): ControlResponse {
    if (signal < 0 || signal > 64) return { ok: false, error: `no such signal: ${signal}`, errno: -EINVAL };
    if (c.status >= 0) return { ok: false, error: 'container not running', errno: -ESRCH };
    if (all) {
      c.signalAll(signal);
      return { ok: true };
    }
    const g = pid === 0 ? c.init : c.find(pid);
    if (g === null && pid !== 0) return { ok: false, error: `no process ${pid}`, errno: -ESRCH };
    c.signal(g, signal);
    return { ok: true };
  }

  private statistics(c: Container): Record<string, number> {
    const k = this.kernel;
    let tasks = 0;
    let calls = 0;
    for (const t of k.tasks.values()) {
      if (t.tg.container !== c.config.id) continue;
      tasks++;
      calls += t.syscalls;
    }
    const out: Record<string, number> = { tasks, forks: k.forks, 'system calls': calls, ...k.platform.statistics() };
    out['messages to the Gofer'] = c.files.messages();
    for (const [name, count] of k.counters) out[name] = count();
    return out;
  }

  private wait(fd: number, c: Container, pid: number): ControlResponse | null {
    if (pid === 0) {
      if (c.status >= 0) return { ok: true, status: c.status };
    } else {
      const done = c.statuses.get(pid);
      if (done !== undefined) {
        c.statuses.delete(pid);
        return { ok: true, status: done };
      }
      if (c.find(pid) === null) return { ok: false, error: `no process ${pid}`, errno: -ESRCH };
    }
    // Stopped before the caller could wait: it hears of it all the same.
    const g = pid === 0 ? c.init : c.find(pid);
    if (g !== null && g.outsideParent && g.stopped) return { ok: true, stopped: g.stopSignal };
    this.waiters.push({ fd, container: c, pid });
    return null;
  }

  private ready(fd: number, c: Container): ControlResponse | null {
    const r = c.readiness;
    if (r === null) return { ok: false, error: 'the container has no socket to say so', errno: -EINVAL };
    if (r.ready) return { ok: true };
    if (c.status >= 0) return NEVER_READY;
    this.unready.push({ fd, container: c, pid: 0 });
    r.onReady = () => this.tellReady(c, { ok: true });
    return null;
  }

  private tellReady(c: Container, answer: ControlResponse): void {
    const told = this.unready.filter((w) => w.container === c);
    this.unready = this.unready.filter((w) => w.container !== c);
    for (const w of told) this.answer(w.fd, answer);
  }

  private changed(c: Container, g: ThreadGroup | null, status: number, stopped: number): void {
    const own = g === c.init;
    if (c.status >= 0) this.tellReady(c, NEVER_READY);
    let told = false;
    this.waiters = this.waiters.filter((w) => {
      if (w.container !== c || (w.pid === 0 ? !own : g === null || w.pid !== c.number(g))) return true;
      told = true;
      this.answer(w.fd, stopped > 0 ? { ok: true, stopped } : { ok: true, status });
      return false;
    });
    if (told && stopped === 0 && g !== null) c.statuses.delete(c.number(g));
  }

  private ps(c: Container): PsRow[] {
    const rows: PsRow[] = [];
    const now = monotonicSeconds(this.kernel);
    for (const g of c.groups()) {
      const t = g.leader;
      const l = t.mm.layout;
      const b = new Uint8Array(Math.min(256, Math.max(0, l.argEnd - l.argStart)));
      const cmd =
        !g.zombie && b.length > 0 && t.mm.read(l.argStart, b, 0, b.length) === 0
          ? latin1Decode(b).replace(/\0+$/, '').replaceAll('\0', ' ')
          : `[${t.name}]`;
      rows.push({
        pid: c.number(g),
        ppid: g.parent === null ? 0 : c.number(g.parent),
        uid: t.creds.euid,
        tty: g.session.tty === null ? '?' : g.session.tty.name,
        cpuTimeMs: Math.round(groupCpuNs(g) / 1e6),
        startTimeSec: Math.round(now - g.startNs / 1e9),
        state: g.zombie ? 'Z' : t.state === TASK_STOPPED ? 'T' : 'S',
        cmd,
      });
    }
    return rows;
  }
}

function monotonicSeconds(k: Kernel): number {
  return k.bootNs / 1e9;
}
