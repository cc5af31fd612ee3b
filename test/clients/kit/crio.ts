// conmon as CRI-O calls it: the same arguments, pipes and files, with a bundle of our own.

import { spawn } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { defaultSpec } from '../../../runsc-compat/cmd/spec.ts';
import type { Spec } from '../../../runsc-compat/spec/types.ts';
import { buildTool } from '../../support/build.ts';
import { plainEnvironment, type RunResult } from '../../support/run.ts';
import { Folder } from './folder.ts';
import { until } from '../../support/until.ts';
import { busybox } from './images.ts';
import { cgroupsNamed } from './leftovers.ts';
import type { Runtime } from './runtimes.ts';

/** One line of a log in Kubernetes' format. */
export interface LogLine {
  stream: string;
  /** F for a whole line, P for a part. */
  tag: string;
  text: string;
}

export interface ContainerOptions {
  terminal?: boolean;
  stdin?: boolean;
  /** Further arguments of conmon. */
  conmon?: string[];
  /** Edits the configuration. */
  change?: (spec: Spec) => void;
}

/** A folder with what CRI-O keeps: bundles, logs, exit files, attach sockets, and a --root for the runtime. */
export class Crio {
  readonly folder: Folder;
  readonly runtime: Runtime;
  private readonly root: string;
  private readonly reaper: string;

  constructor(runtime: Runtime) {
    this.runtime = runtime;
    this.folder = new Folder(`crio-${runtime.name}`);
    this.root = this.folder.file('states');
    this.reaper = buildTool(`${import.meta.dirname}/reaper.c`);
    for (const d of ['states', 'exits', 'attach', 'logs', 'bundles']) mkdirSync(this.folder.file(d));
    this.folder.words.add(basename(this.folder.path));
  }

  bundle(id: string): string {
    return this.folder.file(`bundles/${id}`);
  }

  /** One call of the runtime, as CRI-O makes it. */
  call(...args: string[]): Promise<RunResult> {
    return this.folder.run([this.runtime.path, '--root', this.root, ...args]);
  }

  async must(...args: string[]): Promise<string> {
    return await this.folder.must([this.runtime.path, '--root', this.root, ...args]);
  }

  /** Makes a bundle with busybox in it. */
  makeBundle(id: string, args: string[], o: ContainerOptions = {}): void {
    const dir = this.bundle(id);
    busybox().unpack(`${dir}/rootfs`);
    const spec = defaultSpec(false);
    spec.hostname = id;
    if (spec.root !== undefined) spec.root.readonly = false;
    if (spec.process !== undefined) {
      spec.process.args = args;
      spec.process.terminal = o.terminal === true;
    }
    if (spec.linux !== undefined) spec.linux.cgroupsPath = `/${basename(this.folder.path)}/${id}`;
    spec.annotations = {
      'io.kubernetes.cri-o.ContainerType': 'sandbox',
      'io.kubernetes.cri-o.SandboxID': id,
      'io.container.manager': 'cri-o',
    };
    o.change?.(spec);
    writeFileSync(`${dir}/config.json`, JSON.stringify(spec));
  }

  /** conmon with CRI-O's two pipes; what it says on the first one, line by line. */
  private conmon(args: string[]): { lines: Promise<string[]>; first: Promise<string>; go: () => void } {
    const child = spawn(this.reaper, [this.folder.path, 'conmon', ...args], {
      cwd: this.folder.path,
      env: { ...plainEnvironment, _OCI_SYNCPIPE: '3', _OCI_STARTPIPE: '4' },
      stdio: ['ignore', 'ignore', 'inherit', 'pipe', 'pipe'],
    });
    const sync = child.stdio[3] as Readable;
    let text = '';
    let heard: (line: string) => void = () => undefined;
    const first = new Promise<string>((done) => (heard = done));
    const lines = new Promise<string[]>((done) => {
      sync.on('data', (d: Buffer) => {
        text += d.toString();
        if (text.includes('\n')) heard(text.slice(0, text.indexOf('\n')));
      });
      sync.on('close', () => {
        heard(text);
        done(text.split('\n').filter((l) => l !== ''));
      });
    });
    const start = child.stdio[4] as Writable;
    start.on('error', () => undefined);
    return { lines, first, go: () => start.end(Buffer.from([0])) };
  }

  /** CreateContainer: makes the bundle and the container; the pid of its first process, or conmon's refusal as an error. */
  async create(id: string, args: string[], o: ContainerOptions = {}): Promise<number> {
    this.makeBundle(id, args, o);
    const dir = this.bundle(id);
    const words = ['-b', dir, '-c', id, '--exit-dir', this.folder.file('exits'), '-l', `k8s-file:${this.log(id)}`, '--log-level', 'info'];
    words.push('-n', `k8s_${id}`, '-P', `${dir}/conmon-pidfile`, '-p', `${dir}/pidfile`, '--persist-dir', dir, '-r', this.runtime.path);
    words.push('--runtime-arg', `--root=${this.root}`, '--socket-dir-path', this.folder.file('attach'), '-u', id);
    if (o.terminal === true) words.push('-t');
    if (o.stdin === true) words.push('-i');
    const c = this.conmon([...words, ...(o.conmon ?? [])]);
    c.go();
    return pidIn(await c.first);
  }

  /** CreateContainer and StartContainer; the pid of its first process. */
  async start(id: string, args: string[], o: ContainerOptions = {}): Promise<number> {
    const pid = await this.create(id, args, o);
    await this.must('start', id);
    return pid;
  }

  /** ExecSync: the status, and what was said on both streams together. */
  async exec(
    id: string,
    args: string[],
    more: string[] = [],
    change: (process: NonNullable<Spec['process']>) => void = () => undefined,
  ): Promise<{ status: number; output: LogLine[] }> {
    const name = `exec-${Math.random().toString(36).slice(2)}`;
    const spec = JSON.parse(readFileSync(`${this.bundle(id)}/config.json`, 'utf8')) as Spec;
    const process = { ...(spec.process ?? { cwd: '/' }), args, terminal: false };
    change(process);
    const file = this.folder.file(`${name}.json`);
    const log = this.folder.file(`logs/${name}.log`);
    writeFileSync(file, JSON.stringify(process));
    const words = ['-b', this.bundle(id), '-c', id, '-n', `k8s_${id}`, '-r', this.runtime.path, '-p', this.folder.file(`${name}.pid`)];
    words.push('-e', '-l', log, '--socket-dir-path', this.folder.file('attach'), '--log-level', 'info', '--exec-process-spec', file);
    words.push('--runtime-arg', `--root=${this.root}`, '-u', name, ...more);
    const c = this.conmon(words);
    c.go();
    const said = await c.lines;
    // conmon says nothing of a command that is over before its runtime has returned. runc's now and then is; ringfence's must never be.
    if ((said.at(-1) ?? '') === '' && this.runtime.name === 'runc') return await this.exec(id, args, more, change);
    return { status: pidIn(said.at(-1) ?? ''), output: existsSync(log) ? parseLog(log) : [] };
  }

  /** The path of a container's log. */
  log(id: string): string {
    return this.folder.file(`logs/${id}.log`);
  }

  logLines(id: string): LogLine[] {
    return parseLog(this.log(id));
  }

  /** Waits for the exit file; the status in it. */
  async end(id: string): Promise<number> {
    const file = this.folder.file(`exits/${id}`);
    await until(`the exit file of ${id}`, () => existsSync(file));
    return Number(readFileSync(file, 'utf8'));
  }

  /** RemoveContainer. */
  async remove(id: string): Promise<void> {
    await this.call('kill', id, '9');
    await this.end(id);
    await this.must('delete', '--force', id);
  }

  /** Attach: sends `input` and returns what comes until `enough`, streams by number (2 standard output, 3 standard error). */
  async attach(id: string, input: string, enough: string): Promise<string> {
    const script = `
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.settimeout(30)
s.connect(sys.argv[1])
s.send(sys.stdin.buffer.read())
text = b''
while sys.argv[2].encode() not in text:
    try: packet = s.recv(8193)
    except TimeoutError: sys.exit('not seen; there is: %r' % text)
    if not packet: break
    text += b'%d:' % packet[0] + packet[1:]
sys.stdout.buffer.write(text)
`;
    return await this.folder.must(['python3', '-c', script, this.folder.file(`attach/${id}/attach`), enough], { input });
  }

  /** Changes the size of a container's terminal, as a resize event does. */
  resize(id: string, rows: number, cols: number): void {
    writeFileSync(`${this.bundle(id)}/ctl`, `1 ${rows} ${cols}\n`);
  }

  /** What is left on the host when all containers are removed. */
  async leftovers(): Promise<string[]> {
    const states = await this.folder.must(['ls', this.root]);
    // The cgroup of all is CRI-O's own, as a pod's would be.
    const parents = new RegExp(`/${basename(this.folder.path)}$`);
    const left = await this.folder.settled((line) => parents.test(line));
    return [...left, ...states.split('\n').filter((l) => l !== '')];
  }

  async close(): Promise<void> {
    await this.folder.close();
    for (const line of cgroupsNamed([basename(this.folder.path)]).reverse()) {
      await this.folder.run(['rmdir', line.slice('cgroup '.length)], { cwd: '/' });
    }
  }

  /** Copies a program of the host into the root of a container that does not run yet. */
  install(id: string, from: string, to: string): void {
    copyFileSync(from, `${this.bundle(id)}/rootfs/${to}`);
  }
}

/** The number that conmon reports: a pid, or a status. Below zero with a message it is a failure. */
function pidIn(line: string): number {
  const report = JSON.parse(line === '' ? '{}' : line) as { data?: number; pid?: number; exit_code?: number; message?: string };
  const n = report.data ?? report.exit_code ?? report.pid;
  if (n === undefined || n < 0) throw new Error(`conmon: ${line}`);
  return n;
}

function parseLog(file: string): LogLine[] {
  return readFileSync(file, 'utf8')
    .split('\n')
    .filter((l) => l !== '')
    .map((l) => {
      const m = /^\S+ (\S+) (\S) (.*)$/.exec(l);
      if (m === null) throw new Error(`not a line of a log: ${l}`);
      return { stream: m[1] as string, tag: m[2] as string, text: m[3] as string };
    });
}
