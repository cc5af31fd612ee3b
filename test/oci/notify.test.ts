// Readiness: what a container says on the socket that NOTIFY_SOCKET names reaches the caller's (sd_notify(3)). The same assertions on runc.

import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { AF_UNIX, SOCK_DGRAM } from '../../src/abi/socket.ts';
import { loadNative, type Native } from '../../src/host/native.ts';
import { unixAddress } from '../../src/host/paths.ts';
import { buildTool, repository } from '../support/build.ts';
import { Rig, type RuntimeName } from './kit/runtimes.ts';

const RUNTIMES: RuntimeName[] = ['runc', 'ringfence'];
const PATH = '/usr/sbin:/usr/bin:/sbin:/bin';

let native: Native;
let work: string;
let listener = -1;
let address = '';

beforeAll(() => {
  native = loadNative(join(repository, 'dist/native/host.node'));
  work = mkdtempSync(join(tmpdir(), 'rf-notify-'));
});
afterAll(() => rmSync(work, { recursive: true, force: true }));
afterEach(() => {
  if (listener >= 0) native.close(listener);
  listener = -1;
});

/** A socket as a service manager has it; its path. */
function listen(): string {
  address = join(work, `s-${Math.random().toString(36).slice(2)}`);
  listener = native.socket(AF_UNIX, SOCK_DGRAM, 0);
  expect(native.bind(listener, unixAddress(address) as Uint8Array)).toBe(0);
  native.setNonblock(listener, 1);
  return address;
}

/** The messages that have come, by line. */
function heard(): string[] {
  const all: string[] = [];
  const b = Buffer.alloc(4096);
  for (let n = native.read(listener, b, 0, b.length); n > 0; n = native.read(listener, b, 0, b.length)) {
    all.push(...b.toString('utf8', 0, n).split('\n'));
  }
  return all.filter((l) => l !== '');
}

describe.each(RUNTIMES)('%s', (name) => {
  let rig: Rig;
  beforeAll(() => {
    rig = new Rig(name);
  });
  afterAll(() => rig.close());

  const bundle = (script: string): string =>
    rig.bundle(['sh', '-c', script], (_spec, dir) =>
      copyFileSync(buildTool(join(import.meta.dirname, 'guests/ready.c')), join(dir, 'rootfs/bin/ready')),
    );
  const env = (): Record<string, string> => ({ PATH, NOTIFY_SOCKET: address });

  // runc 1.1.5 waits in `start` for ever: what its container says after `create` reaches nobody.
  const afterCreate = name === 'runc' ? [] : ['start returns when the container is ready; its pid is told'];
  test.each(afterCreate)('%s', async () => {
    listen();
    const id = rig.id();
    const dir = bundle('sleep 0.5; ready STATUS=soon "STATUS=now\nREADY=1"; exec sleep 1000');
    expect(await rig.run(['create', '--bundle', dir, id], { env: env() })).toMatchObject({ status: 0 });
    expect(heard()).toEqual([]);
    expect(await rig.run(['start', id], { env: env() })).toMatchObject({ status: 0 });
    const { pid } = await rig.state(id);
    const said = heard();
    expect(said[0]).toBe('READY=1');
    expect(said).toContain(`MAINPID=${pid}`);
    expect(await rig.run(['delete', '--force', id])).toMatchObject({ status: 0 });
  });

  test('run --detach as well', async () => {
    listen();
    const id = rig.id();
    expect(await rig.run(['run', '--detach', '--bundle', bundle('ready READY=1; exec sleep 1000'), id], { env: env() })).toMatchObject({
      status: 0,
    });
    const said = heard();
    expect(said[0]).toBe('READY=1');
    expect(said).toContain(`MAINPID=${(await rig.state(id)).pid}`);
    await rig.run(['delete', '--force', id]);
  });

  test('a container that ends without a word keeps nobody waiting', async () => {
    listen();
    const id = rig.id();
    expect(await rig.run(['create', '--bundle', bundle('sleep 0.3; exit 3'), id], { env: env() })).toMatchObject({ status: 0 });
    expect(await rig.run(['start', id], { env: env() })).toMatchObject({ status: 0 });
    await rig.reaches(id, 'stopped');
    expect(heard()).not.toContain('READY=1');
    await rig.run(['delete', id]);
  });

  test('without a listener outside there is none inside', async () => {
    const r = await rig.run(['run', '--bundle', bundle('echo "<$NOTIFY_SOCKET>"; ready READY=1'), rig.id()], { env: { PATH } });
    expect(r).toMatchObject({ status: 2, stdout: '<>\n' });
  });
});
