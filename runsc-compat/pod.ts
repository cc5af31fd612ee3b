// Pods: containers that share one sandbox. The first container of a pod is the sandbox's own; further ones name it in their annotations,
// or are given one of its namespaces by path, and join its Sentry, each with a Gofer and a stand-in of its own.

import { closeSync, openSync, read, readFileSync, readlinkSync, statSync, writeFileSync } from 'node:fs';
import type { ContainerConfig, NamespaceWords } from '../src/wire/boot.ts';
import type { SentStreams } from '../src/wire/control.ts';
import { GoferRequest, MAX_MESSAGE, OP_CLUNK } from '../src/wire/gofer.ts';
import { Encoder, encodeRequest } from '../src/wire/gofercodec.ts';
import { oomLead } from './cgroups/limits.ts';
import { CONTROL_NAME, connectIn } from './control.ts';
import { CliError, EXIT_OWN } from './errors.ts';
import { host } from './host.ts';
import type { HostStdio, StartedContainer } from './launch.ts';
import type { Spec } from './spec/types.ts';
import { startFailure } from './standin.ts';
import { type ContainerState, checkId, type State, type StateRoot } from './state.ts';

/** Annotations of containerd's CRI plugin, and of CRI-O and podman: what a container is, and which sandbox it belongs to. */
const KEYS = [
  ['io.kubernetes.cri.container-type', 'io.kubernetes.cri.sandbox-id'],
  ['io.kubernetes.cri-o.ContainerType', 'io.kubernetes.cri-o.SandboxID'],
] as const;
/** Kinds of namespaces that containers of a pod may share, with their names in config.json and in /proc/PID/ns. */
const KINDS: readonly (readonly [keyof NamespaceWords, string])[] = [
  ['uts', 'uts'],
  ['ipc', 'ipc'],
  ['network', 'net'],
  ['pid', 'pid'],
  ['cgroup', 'cgroup'],
];
const MSG_NOSIGNAL = 0x4000;
/** The highest oom_score_adj (proc(5)). */
const MOST_OOM_SCORE = 1000;
const NO_MEMORY_LIMIT = { memory: 0 };

/** The sandbox that a new container is to join. */
export interface Pod {
  /** Its first container. */
  id: string;
  container: ContainerState;
}

/** The id of the sandbox that a container's annotations name; null: it has one of its own. */
function namedSandbox(spec: Spec): string | null {
  const all = spec.annotations ?? {};
  for (const [type, sandbox] of KEYS) {
    const id = all[sandbox];
    if (all[type] === 'container' && id !== undefined && id !== '') return id;
  }
  return null;
}

/**
 * The sandbox of the running container whose pid, IPC or network namespace is given by path, or null. What such containers share is in a
 * Sentry: a network without packets in common would be none.
 */
function joinedSandbox(root: StateRoot, spec: Spec): string | null {
  for (const [kind, file] of KINDS) {
    const path = kind === 'uts' || kind === 'cgroup' ? undefined : spec.linux?.namespaces?.find((n) => n.type === kind)?.path;
    const word = path === undefined || path === '' ? null : fileWord(path);
    if (word === null || word === fileWord(`/proc/self/ns/${file}`)) continue;
    for (const id of root.ids()) {
      const c = root.at(id);
      const s = c.read();
      if (s === null || s.pid <= 0 || fileWord(`/proc/${s.pid}/ns/${file}`) !== word) continue;
      const status = c.statusOf(s);
      if (status !== 'stopped' && status !== 'creating') return s.sandbox ?? id;
    }
  }
  return null;
}

/** The pod that container `id` belongs to, or null. Throws when its annotations name a sandbox that does not run below this --root. */
export function podOf(root: StateRoot, spec: Spec, id: string): Pod | null {
  const named = namedSandbox(spec);
  if (named === null) {
    const joined = joinedSandbox(root, spec);
    return joined === null ? null : { id: joined, container: root.at(joined) };
  }
  const fail = (why: string): never => {
    throw new CliError(`cannot create container ${id} in the sandbox ${JSON.stringify(named)}, which its annotations name: ${why}`);
  };
  try {
    checkId(named);
  } catch {
    return fail('that is not the id of a container');
  }
  const c = root.at(named);
  const state = c.exists() ? c.read() : null;
  if (state === null) return fail('there is no such container');
  const status = c.statusOf(state);
  if (status === 'stopped' || status === 'creating') return fail(`it is ${status}`);
  // A member names the sandbox that it is in.
  if (state.sandbox !== undefined) return { id: state.sandbox, container: root.at(state.sandbox) };
  return { id: named, container: c };
}

/** The containers of a sandbox that run, the first one among them. */
function membersOf(root: StateRoot, sandbox: string): State[] {
  const out: State[] = [];
  for (const id of root.ids()) {
    const c = root.at(id);
    const s = c.read();
    if (s !== null && (id === sandbox || s.sandbox === sandbox) && s.pid > 0 && c.alive(s)) out.push(s);
  }
  return out;
}

/** Which file a path leads to, as a word; null: none. */
function fileWord(path: string): string | null {
  try {
    const st = statSync(path);
    return `${st.dev}:${st.ino}`;
  } catch {
    return null;
  }
}

/**
 * Words for the namespaces of a new container, by which the Sentry knows who shares one: no entry is the host's, an entry without a path is
 * its own, and a path that leads to a namespace of another container of the pod is that container's.
 */
export function namespaceWords(root: StateRoot, pod: Pod | null, spec: Spec, id: string): NamespaceWords {
  const members = pod === null ? [] : membersOf(root, pod.id);
  const words: NamespaceWords = {};
  for (const [kind, file] of KINDS) {
    const entry = (spec.linux?.namespaces ?? []).find((n) => n.type === kind);
    if (entry === undefined) words[kind] = 'host';
    else if (entry.path === undefined || entry.path === '') words[kind] = `own:${id}`;
    else {
      const word = fileWord(entry.path);
      const same = word === null ? undefined : members.find((m) => fileWord(`/proc/${m.pid}/ns/${file}`) === word);
      // What cannot be looked at fails where it is joined.
      words[kind] = same?.namespaces?.[kind] ?? word ?? `own:${id}`;
    }
  }
  return words;
}

/** What the Sentry is told of a further container that differs from one that has a sandbox of its own. */
export function adaptToPod(config: ContainerConfig, spec: Spec, id: string): void {
  const shared = config.namespaces?.uts !== `own:${id}`;
  if (shared && spec.hostname === undefined) config.hostname = '';
}

/** Waits until a Gofer answers, so that the Sentry, and with it all other containers of the pod, need not. False: it never will. */
function goferAnswers(fd: number): Promise<boolean> {
  const e = new Encoder(new Uint8Array(MAX_MESSAGE));
  const q = new GoferRequest();
  q.op = OP_CLUNK;
  q.ids = [];
  const n = encodeRequest(q, e);
  if (n < 0 || host().sendmsg(fd, e.buf, 0, n, new Int32Array(0), 0, MSG_NOSIGNAL) < 0) return Promise.resolve(false);
  return new Promise((done) => {
    read(fd, Buffer.allocUnsafe(MAX_MESSAGE), 0, MAX_MESSAGE, null, (error, length) => done(error === null && length > 0));
  });
}

/** The descriptors of a process's streams in the order in which a request sends them. */
function inOrder(stdio: HostStdio): { sent: Omit<SentStreams, 'standin'>; fds: number[] } {
  const names = ['in', 'out', 'err'] as const;
  const streams = names.filter((_, i) => (stdio.fds[i] as number) >= 0);
  const fds = stdio.fds.filter((fd) => fd >= 0);
  const console = stdio.consoleIn >= 0;
  if (console) fds.push(stdio.consoleIn, stdio.consoleOut);
  return { sent: { streams, console, extra: stdio.extra.length }, fds: [...fds, ...stdio.extra] };
}

/**
 * Has the kernel kill guests of a new container before its Gofer: the stub (or tracer) that they come from, the only one in its groups yet, gets
 * the stand-in's oom_score_adj and `lead` more.
 */
function raiseGuests(procs: string, standin: number, lead: number): void {
  const own = Number(readFileSync(`/proc/${standin}/oom_score_adj`, 'latin1'));
  for (const pid of readFileSync(procs, 'latin1').split('\n')) {
    if (pid === '') continue;
    try {
      if (!/\/native\/(stub|tracer|kvmstub)$/.test(readlinkSync(`/proc/${pid}/exe`))) continue;
      writeFileSync(`/proc/${pid}/oom_score_adj`, String(Math.min(MOST_OOM_SCORE, own + lead)));
    } catch (e) {
      // One that may not be looked at is no stub, one that is gone needs nothing. Without CAP_SYS_RESOURCE the value cannot be lower than
      // that of the sandbox.
      if (!(e instanceof Error && 'code' in e && ['EACCES', 'ENOENT', 'ESRCH'].includes(String(e.code)))) throw e;
    }
  }
}

/**
 * Adds a container whose stand-in is in place to its pod's Sentry, up to its start. `groupFiles`: cgroup.procs of its
 * control groups, `counters`: their counters, open, by name.
 */
export async function enterPod(
  pod: Pod,
  started: StartedContainer,
  config: ContainerConfig,
  stdio: HostStdio,
  groupFiles: string[],
  counters: Record<string, number>,
): Promise<void> {
  const { standin, goferFd, standinFd } = started;
  if (!(await Promise.race([goferAnswers(goferFd), standin.exit.then(() => false)]))) {
    await standin.exit;
    throw standin.problem() === '' ? new CliError('the container ended before it was ready', EXIT_OWN) : startFailure(standin);
  }
  const { sent, fds } = inOrder(stdio);
  const groups: number[] = [];
  const control = connectIn(pod.container.folder, CONTROL_NAME);
  try {
    for (const file of groupFiles) groups.push(openSync(file, 'w'));
    const request = {
      method: 'create',
      id: config.id,
      container: config,
      groups: groups.length,
      counters: Object.keys(counters),
      ...sent,
      standin: true,
    } as const;
    const answer = await control.request(request, [goferFd, ...groups, ...Object.values(counters), ...fds, standinFd]);
    if (!answer.ok) throw new CliError(`the sandbox ${pod.id} does not take the container: ${answer.error}`, EXIT_OWN);
    if (groupFiles[0] !== undefined) raiseGuests(groupFiles[0], standin.pid, oomLead(config.limits ?? NO_MEMORY_LIMIT));
  } finally {
    control.close();
    for (const fd of groups) closeSync(fd);
  }
}
