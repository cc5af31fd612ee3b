// The same tests for each runtime: runc first, whose behaviour is what they are right by, then ringfence.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { RunOptions, RunResult } from '../../support/run.ts';
import type { Image } from './images.ts';
import { Podman } from './podman.ts';
import { ringfence, runc } from './runtimes.ts';

/** One podman for all tests of a file and a runtime. */
export class Subject {
  readonly runtime: string;
  private opened: Podman | null = null;
  private count = 0;

  constructor(runtime: string) {
    this.runtime = runtime;
  }

  open(podman: Podman): void {
    this.opened = podman;
  }

  get podman(): Podman {
    if (this.opened === null) throw new Error('used before its tests began');
    return this.opened;
  }

  /** A name that no other container of this podman has. */
  name(): string {
    return `c${++this.count}`;
  }

  /** `podman run --rm --network none ARGS`. */
  run(args: string[], options: RunOptions = {}): Promise<RunResult> {
    return this.podman.run(['run', '--rm', '--network=none', ...args], options);
  }

  /** What a container says that must succeed. */
  says(args: string[], options: RunOptions = {}): Promise<string> {
    return this.podman.must(['run', '--rm', '--network=none', ...args], options);
  }

  /** Starts a container in the background; its name. */
  async start(args: string[]): Promise<string> {
    const name = this.name();
    await this.podman.must(['run', '-d', '--network=none', '--name', name, ...args]);
    return name;
  }

  /** What an exec says that must succeed. */
  exec(name: string, ...args: string[]): Promise<string> {
    return this.podman.must(['exec', name, ...args]);
  }

  /** Waits for the end of a container; its status. */
  async end(name: string): Promise<number> {
    return Number(await this.podman.must(['wait', name]));
  }

  async remove(name: string): Promise<void> {
    await this.podman.must(['rm', '-f', '-t', '0', name]);
  }
}

/** Runs the tests that `body` defines with podman on each runtime, and a last one that nothing is left on the host. */
export function withPodman(title: string, images: () => Image[], body: (s: Subject) => void): void {
  describe.each([runc, ringfence])(`${title}, $name`, (runtime) => {
    const subject = new Subject(runtime.name);
    let podman: Podman | null = null;

    beforeAll(async () => {
      podman = new Podman(runtime);
      subject.open(podman);
      await podman.load(...images());
    }, 300_000);

    afterAll(() => podman?.close());

    body(subject);

    test('nothing is left on the host', { timeout: 120_000 }, async () => {
      expect(await subject.podman.leftovers()).toEqual([]);
    });
  });
}
