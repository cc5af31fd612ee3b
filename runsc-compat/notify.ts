// Readiness (sd_notify(3)): a container that is started with NOTIFY_SOCKET in our own environment gets a socket of its own, and what it says
// there is passed on to the caller's, with the pid that stands for the container.

import { AF_UNIX, SOCK_CLOEXEC, SOCK_DGRAM } from '../src/abi/socket.ts';
import { unixAddress } from '../src/host/paths.ts';
import { type ContainerConfig, NOTIFY_PATH } from '../src/wire/boot.ts';
import { CONTROL_NAME, connectIn, SandboxGone } from './control.ts';
import { CliError } from './errors.ts';
import { callerVariable, errnoName, host } from './host.ts';
import type { ContainerState, State } from './state.ts';

const MSG_NOSIGNAL = 0x4000;
const VARIABLE = 'NOTIFY_SOCKET';

/** The caller's socket, null when it waits for nothing. */
function callerSocket(): string | null {
  const path = callerVariable(VARIABLE) ?? '';
  return path === '' ? null : path;
}

/** Gives a new container its socket, if the caller has one. */
export function addNotifySocket(config: ContainerConfig): void {
  if (callerSocket() === null) return;
  const folder = NOTIFY_PATH.slice(0, NOTIFY_PATH.lastIndexOf('/'));
  const flags = { readonly: false, nosuid: true, nodev: true, noexec: true };
  config.mounts.push({ destination: folder, type: 'tmpfs', source: 'tmpfs', attach: -1, ...flags, options: ['mode=755', 'size=64k'] });
  config.process.env = [...config.process.env.filter((e) => !e.startsWith(`${VARIABLE}=`)), `${VARIABLE}=${NOTIFY_PATH}`];
  config.notify = true;
}

async function becomesReady(c: ContainerState, id: string): Promise<boolean> {
  try {
    const control = connectIn(c.controlFolder, CONTROL_NAME);
    const answer = await control.request({ method: 'ready', id });
    control.close();
    return answer.ok;
  } catch (e) {
    if (e instanceof SandboxGone) return false;
    throw e;
  }
}

/** Waits until a container that was started says that it is ready, or has ended, and passes it on. Does nothing where nobody waits. */
export async function passReadiness(c: ContainerState, state: State): Promise<void> {
  const path = callerSocket();
  if (path === null) return;
  if (!(await becomesReady(c, state.id))) return;
  const address = unixAddress(path.startsWith('@') ? `\0${path.slice(1)}` : path);
  const fd = host().socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  try {
    const r = address === null ? -1 : host().connect(fd, address);
    if (r < 0) throw new CliError(`cannot pass readiness on to ${VARIABLE} "${path}": ${address === null ? 'no address' : errnoName(r)}`);
    for (const text of ['READY=1\n', `MAINPID=${state.pid}\n`]) {
      const b = Buffer.from(text);
      host().sendmsg(fd, b, 0, b.length, new Int32Array(0), 0, MSG_NOSIGNAL);
    }
  } finally {
    host().close(fd);
  }
}
