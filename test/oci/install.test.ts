// ringfence install: what it writes for each client, shows, keeps, and takes back.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { ringfence } from './support.ts';

const root = mkdtempSync(join(tmpdir(), 'rf-install-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** A machine's root with these files. */
function machine(files: Record<string, string> = {}): string {
  const dir = mkdtempSync(join(root, 'm-'));
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(dir, path)), { recursive: true });
    writeFileSync(join(dir, path), text);
  }
  return dir;
}

function install(dir: string, ...args: string[]): { status: number; out: string } {
  const r = spawnSync(ringfence, ['install', '--sysroot', dir, ...args], { encoding: 'utf8', timeout: 30_000 });
  return { status: r.status ?? -1, out: r.stdout + r.stderr };
}

/** A TOML file as python's own reader has it. */
function toml(path: string): unknown {
  const script = 'import json,sys,tomllib; print(json.dumps(tomllib.load(open(sys.argv[1],"rb"))))';
  const r = spawnSync('python3', ['-c', script, path], { encoding: 'utf8' });
  expect(r.stderr).toBe('');
  return JSON.parse(r.stdout);
}

/** All files below a folder. */
function all(dir: string): string[] {
  return readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter((e) => e.isFile())
    .map((e) => join(e.parentPath, e.name).slice(dir.length))
    .sort();
}

const DOCKER = '/etc/docker/daemon.json';
const CONTAINERD = '/etc/containerd/config.toml';

describe('docker', () => {
  test('an entry among the settings, which stay as they are', () => {
    const text = '{\n    "debug": true,\n    "runtimes": {\n        "other": { "path": "/x" }\n    }\n}\n';
    const dir = machine({ [DOCKER]: text });
    const r = install(dir, '--runtime', 'docker');
    expect(r.status).toBe(0);
    expect(r.out).toMatch(/\n {2}\+.*"ringfence"/);
    expect(JSON.parse(readFileSync(join(dir, DOCKER), 'utf8'))).toEqual({
      debug: true,
      runtimes: { other: { path: '/x' }, ringfence: { path: ringfence } },
    });
    expect(readFileSync(join(dir, `${DOCKER}.before-ringfence`), 'utf8')).toBe(text);
    const once = readFileSync(join(dir, DOCKER), 'utf8');
    expect(install(dir, '--runtime', 'docker').out).toContain('nothing to change');
    expect(readFileSync(join(dir, DOCKER), 'utf8')).toBe(once);
    expect(install(dir, '--runtime', 'docker', '--uninstall').status).toBe(0);
    expect(JSON.parse(readFileSync(join(dir, DOCKER), 'utf8'))).toEqual(JSON.parse(text));
    expect(all(dir)).toEqual([DOCKER]);
  });

  test('a file of its own where there was none, which goes again; a default runtime goes with it', () => {
    const dir = machine();
    expect(install(dir, '--runtime', 'docker').status).toBe(0);
    expect(all(dir)).toEqual([DOCKER]);
    expect(install(dir, '--runtime', 'docker', '--uninstall').status).toBe(0);
    expect(all(dir)).toEqual([]);
    writeFileSync(
      join(dir, DOCKER),
      JSON.stringify({ 'default-runtime': 'ringfence', runtimes: { ringfence: { path: '/old' } }, debug: true }),
    );
    install(dir, '--runtime', 'docker', '--uninstall');
    expect(JSON.parse(readFileSync(join(dir, DOCKER), 'utf8'))).toEqual({ debug: true });
  });

  test('a file that is no JSON is named and left alone, with all others', () => {
    const dir = machine({ [DOCKER]: '{ "debug": tru', '/etc/containerd/config.toml': 'version = 2\n' });
    const r = install(dir);
    expect(r.status).toBe(1);
    expect(r.out).toMatch(/^ringfence: \/etc\/docker\/daemon.json is not JSON: .*\n$/);
    expect(readFileSync(join(dir, DOCKER), 'utf8')).toBe('{ "debug": tru');
    expect(readFileSync(join(dir, CONTAINERD), 'utf8')).toBe('version = 2\n');
  });
});

describe('containerd', () => {
  test.each([
    ['2', 'io.containerd.grpc.v1.cri'],
    ['3', 'io.containerd.cri.v1.runtime'],
  ])('a runtime handler at the end of a configuration of version %s', (version, plugin) => {
    const text = `version = ${version}\nroot = "/var/lib/containerd"\n\n[plugins."${plugin}".containerd]\n  default_runtime_name = "runc"\n`;
    const dir = machine({ [CONTAINERD]: text });
    expect(install(dir, '--runtime', 'containerd').status).toBe(0);
    expect(toml(join(dir, CONTAINERD))).toEqual({
      version: Number(version),
      root: '/var/lib/containerd',
      plugins: {
        [plugin]: {
          containerd: {
            default_runtime_name: 'runc',
            runtimes: {
              runc: { runtime_type: 'io.containerd.runc.v2' },
              ringfence: { runtime_type: 'io.containerd.runc.v2', options: { BinaryName: ringfence } },
            },
          },
        },
      },
    });
    const once = readFileSync(join(dir, CONTAINERD), 'utf8');
    install(dir, '--runtime', 'containerd');
    expect(readFileSync(join(dir, CONTAINERD), 'utf8')).toBe(once);
    install(dir, '--runtime', 'containerd', '--uninstall');
    expect(readFileSync(join(dir, CONTAINERD), 'utf8')).toBe(text);
  });

  test('handlers that are there stay, and no other comes', () => {
    const plugin = 'plugins."io.containerd.grpc.v1.cri".containerd';
    const dir = machine({ [CONTAINERD]: `version = 2\n[${plugin}]\n  default_runtime_name = "other"\n[${plugin}.runtimes.other]\n` });
    expect(install(dir, '--runtime', 'containerd').status).toBe(0);
    const cri = (toml(join(dir, CONTAINERD)) as { plugins: Record<string, { containerd: { runtimes: object } }> }).plugins[
      'io.containerd.grpc.v1.cri'
    ];
    expect(Object.keys(cri?.containerd.runtimes ?? {})).toEqual(['other', 'ringfence']);
  });

  test('a new file where there was none; versions and handlers that are not ours are refused', () => {
    const dir = machine();
    expect(install(dir, '--runtime', 'containerd').status).toBe(0);
    expect(toml(join(dir, CONTAINERD))).toMatchObject({ version: 2 });
    install(dir, '--runtime', 'containerd', '--uninstall');
    expect(all(dir)).toEqual([]);
    for (const text of ['root = "/x"\n', 'version = 9\n']) {
      writeFileSync(join(dir, CONTAINERD), text);
      expect(install(dir, '--runtime', 'containerd')).toMatchObject({ status: 1 });
    }
    const own = 'version = 2\n[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.ringfence]\n';
    writeFileSync(join(dir, CONTAINERD), own);
    expect(install(dir, '--runtime', 'containerd').out).toContain('is not ours');
    expect(readFileSync(join(dir, CONTAINERD), 'utf8')).toBe(own);
  });
});

describe('files of our own', () => {
  test('podman and CRI-O', () => {
    const dir = machine({ '/usr/bin/podman': '', '/usr/bin/crio': '' });
    expect(install(dir, '--dry-run').status).toBe(0);
    expect(all(dir)).toEqual(['/usr/bin/crio', '/usr/bin/podman']);
    const r = install(dir);
    expect(r.status).toBe(0);
    const podman = '/etc/containers/containers.conf.d/ringfence.conf';
    const crio = '/etc/crio/crio.conf.d/99-ringfence.conf';
    expect(toml(join(dir, podman))).toMatchObject({ engine: { runtimes: { ringfence: [ringfence] } } });
    expect(toml(join(dir, crio))).toMatchObject({
      crio: { runtime: { runtimes: { ringfence: { runtime_path: ringfence, runtime_type: 'oci' } } } },
    });
    expect(statSync(join(dir, podman)).mode & 0o777).toBe(0o644);
    expect(r.out).toContain(`${join(dir, podman)} (new)`);
    expect(install(dir, '--uninstall').status).toBe(0);
    expect(existsSync(join(dir, podman)) || existsSync(join(dir, crio))).toBe(false);
  });

  test('no client, or one that is not known: one line', () => {
    const dir = machine();
    expect(install(dir)).toMatchObject({ status: 1, out: expect.stringMatching(/^ringfence: none of docker, .*\n$/) });
    expect(install(dir, '--runtime', 'rkt')).toMatchObject({
      status: 1,
      out: expect.stringMatching(/^ringfence: --runtime takes docker, .*"rkt"\n$/),
    });
  });
});
