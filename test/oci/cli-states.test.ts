// What each command answers in each state of a container: exit status, text, and the state that it leaves. runc and crun are recorded as they
// are, so that this table notices when what clients are used to changes; ringfence answers as runc does where it is not said otherwise.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Rig, RUNTIMES, type RuntimeName } from './kit/runtimes.ts';

type Status = 'missing' | 'created' | 'running' | 'paused' | 'stopped';

/** Exit status, a part of standard error, and the state afterwards where the command changes it. */
type Answer = [status: number, text?: RegExp | null, after?: Status];

interface Row {
  command: string;
  words: string[];
  /** What clients rely on, of every runtime: by the state before. */
  need?: Partial<Record<Status, { fails?: boolean; text?: RegExp }>>;
  cells: Partial<Record<Status, Partial<Record<RuntimeName, Answer>> & { runc: Answer; crun: Answer }>>;
}

const missing = { runc: [1, /container does not exist/], crun: [1, /No such file or directory/] } satisfies Row['cells']['missing'];
const same = (...a: Answer): { runc: Answer; crun: Answer } => ({ runc: a, crun: a });
const NOT_RUNNING = /container not running/;
const GONE = /No such process/;
const ENDED = /not running|o such process|process already finished/i;

const ROWS: Row[] = [
  {
    command: 'create with a name that is taken',
    words: ['create', '--bundle', 'BUNDLE', 'ID'],
    need: { created: { fails: true }, running: { fails: true }, paused: { fails: true }, stopped: { fails: true } },
    cells: {
      missing: same(0, null, 'created'),
      created: { runc: [1, /container with given ID already exists/], crun: [1, /already exists/] },
      running: { runc: [1, /container with given ID already exists/], crun: [1, /already exists/] },
      paused: { runc: [1, /container with given ID already exists/], crun: [1, /already exists/] },
      stopped: { runc: [1, /container with given ID already exists/], crun: [1, /already exists/] },
    },
  },
  {
    command: 'start',
    words: ['start', 'ID'],
    need: { missing: { fails: true }, running: { fails: true }, paused: { fails: true }, stopped: { fails: true } },
    cells: {
      missing,
      created: same(0, null, 'running'),
      running: { runc: [1, /cannot start an already running container/], crun: [1, /exec\.fifo/] },
      paused: { runc: [1, /cannot start a container in the paused state/], crun: [1, /exec\.fifo/] },
      stopped: { runc: [1, /cannot start a container that has stopped/], crun: [1, /is not running/] },
    },
  },
  {
    command: 'state',
    words: ['state', 'ID'],
    need: { missing: { fails: true } },
    cells: { missing, created: same(0), running: same(0), paused: same(0), stopped: same(0) },
  },
  {
    command: 'ps --format json',
    words: ['ps', '--format', 'json', 'ID'],
    cells: {
      missing: { ...missing, crun: [253, /No such file or directory/] },
      created: same(0),
      running: same(0),
      paused: same(0),
      stopped: { runc: [0], crun: [139] },
    },
  },
  {
    command: 'ps',
    words: ['ps', 'ID'],
    cells: { missing: { ...missing, crun: [253, /No such file or directory/] }, created: same(0), running: same(0), paused: same(0) },
  },
  {
    command: 'kill 0',
    words: ['kill', 'ID', '0'],
    cells: { missing, created: same(0), running: same(0), paused: same(0), stopped: { runc: [1, NOT_RUNNING], crun: [1, GONE] } },
  },
  {
    command: 'kill TERM',
    words: ['kill', 'ID', 'TERM'],
    need: { stopped: { fails: true, text: ENDED } },
    cells: {
      missing,
      // runc's own process waits there, which has no handler but is no program of the container either; crun's is the first of its namespace.
      created: { runc: [0, null, 'stopped'], crun: [0] },
      // Without a handler the first process takes no signal but KILL and STOP (pid_namespaces(7)).
      running: same(0),
      paused: same(0),
      stopped: { runc: [1, NOT_RUNNING], crun: [1, GONE] },
    },
  },
  {
    command: 'kill with a signal that does not exist',
    words: ['kill', 'ID', 'NOSUCH'],
    cells: { running: { runc: [1, /unknown signal "NOSUCH"/], crun: [0] }, stopped: { runc: [1, /unknown signal/], crun: [1, GONE] } },
  },
  {
    command: 'kill 9',
    words: ['kill', 'ID', '9'],
    need: { missing: { fails: true }, stopped: { fails: true, text: ENDED } },
    cells: {
      missing,
      created: same(0, null, 'stopped'),
      running: same(0, null, 'stopped'),
      paused: { runc: [0, null, 'stopped'], crun: [0] },
      stopped: { runc: [1, NOT_RUNNING], crun: [1, GONE] },
    },
  },
  {
    command: 'kill --all SIGKILL',
    words: ['kill', '--all', 'ID', 'SIGKILL'],
    cells: {
      missing,
      created: same(0, null, 'stopped'),
      running: same(0, null, 'stopped'),
      paused: same(0, null, 'stopped'),
      stopped: same(0),
    },
  },
  {
    command: 'pause',
    words: ['pause', 'ID'],
    cells: {
      missing,
      created: { runc: [0, null, 'paused'], crun: [0], ringfence: [1, NOT_RUNNING] },
      running: same(0, null, 'paused'),
      paused: { runc: [1, NOT_RUNNING], crun: [0] },
      stopped: { runc: [1, NOT_RUNNING], crun: [1, /not running/] },
    },
  },
  {
    command: 'resume',
    words: ['resume', 'ID'],
    cells: {
      missing,
      created: { runc: [1, /container not paused/], crun: [0] },
      running: { runc: [1, /container not paused/], crun: [0] },
      paused: same(0, null, 'running'),
      stopped: { runc: [1, /container not paused/], crun: [1, /not running/] },
    },
  },
  {
    command: 'exec',
    words: ['exec', 'ID', 'sh', '-c', 'exit 7'],
    need: { missing: { fails: true }, stopped: { fails: true } },
    cells: {
      missing: { ...missing, runc: [255, /container does not exist/] },
      created: same(7),
      running: same(7),
      paused: { runc: [255, /cannot exec in a paused container/], crun: [1, /is paused/] },
      stopped: { runc: [255, /cannot exec in a stopped container/], crun: [1, /is not running/] },
    },
  },
  { command: 'exec of a process that is killed', words: ['exec', 'ID', 'sh', '-c', 'kill -9 $$'], cells: { running: same(137) } },
  {
    command: 'exec of a path that does not exist',
    words: ['exec', 'ID', '/no/such'],
    need: { running: { fails: true, text: /no such file or directory/i } },
    cells: {
      running: { runc: [255, /stat \/no\/such: no such file or directory/], crun: [255], ringfence: [255, /exec: "\/no\/such": /] },
    },
  },
  {
    command: 'exec of a name that does not exist',
    words: ['exec', 'ID', 'nosuch'],
    need: { running: { fails: true, text: /executable file .*not found in \$PATH/ } },
    cells: { running: { runc: [255], crun: [255], ringfence: [255] } },
  },
  {
    command: 'exec of what is no program',
    words: ['exec', 'ID', '/tmp'],
    need: { running: { fails: true, text: /permission denied|operation not permitted/i } },
    cells: { running: { runc: [255], crun: [255], ringfence: [255] } },
  },
  {
    command: 'exec --detach of a path that does not exist',
    words: ['exec', '--detach', 'ID', '/no/such'],
    need: { running: { fails: true, text: /no such file or directory/i } },
    cells: { running: { runc: [255], crun: [255], ringfence: [255] } },
  },
  {
    command: 'exec in a folder that does not exist',
    words: ['exec', '--cwd', '/nofolder', 'ID', 'true'],
    need: { running: { fails: true, text: /chdir.*\/nofolder.*no such file or directory/i } },
    cells: { running: { runc: [255], crun: [255], ringfence: [255] } },
  },
  {
    command: 'delete',
    words: ['delete', 'ID'],
    need: { missing: { fails: true }, running: { fails: true }, paused: { fails: true } },
    cells: {
      missing,
      created: same(0, null, 'missing'),
      running: { runc: [1, /cannot delete container .* that is not stopped: running/], crun: [1, /not in `created` or `stopped` state/] },
      paused: { runc: [1, /cannot delete container .* that is not stopped: paused/], crun: [1, /not in `created` or `stopped` state/] },
      stopped: same(0, null, 'missing'),
    },
  },
  {
    command: 'delete --force',
    words: ['delete', '--force', 'ID'],
    cells: {
      missing: same(0),
      created: same(0, null, 'missing'),
      running: same(0, null, 'missing'),
      paused: same(0, null, 'missing'),
      stopped: same(0, null, 'missing'),
    },
  },
];

const STATES: Status[] = ['missing', 'created', 'running', 'paused', 'stopped'];
const PATH = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' };

interface Subject {
  id: string;
  bundle: string;
}

/** A container in a state. */
async function make(rig: Rig, state: Status): Promise<Subject> {
  const subject = { id: rig.id(), bundle: rig.bundle(['sleep', '1000']) };
  const must = async (...words: string[]): Promise<void> => {
    const r = await rig.run(words);
    expect(r, words.join(' ')).toEqual({ status: 0, stdout: '', stderr: '' });
  };
  if (state === 'missing') return subject;
  await must('create', '--bundle', subject.bundle, subject.id);
  if (state === 'created') return subject;
  await must('start', subject.id);
  if (state === 'paused') await must('pause', subject.id);
  if (state === 'stopped') {
    await must('kill', subject.id, 'KILL');
    await rig.reaches(subject.id, 'stopped');
  }
  return subject;
}

async function stateOf(rig: Rig, id: string): Promise<Status> {
  const r = await rig.run(['state', id]);
  return r.status === 0 ? (JSON.parse(r.stdout) as { status: Status }).status : 'missing';
}

describe.each(RUNTIMES)('%s', (name) => {
  let rig: Rig;
  beforeAll(() => {
    rig = new Rig(name);
  });
  afterAll(() => rig.close());

  describe.each(STATES)('a container that is %s', (state) => {
    let shared: Subject;
    beforeAll(async () => {
      shared = await make(rig, state);
    });

    for (const row of ROWS) {
      const cell = row.cells[state];
      if (cell === undefined) continue;
      const [status, text, after] = cell[name] ?? cell.runc;
      test(`${row.command}: ${status}`, async () => {
        const subject = after === undefined ? shared : await make(rig, state);
        const words = row.words.map((w) => (w === 'ID' ? subject.id : w === 'BUNDLE' ? subject.bundle : w));
        const log = `${rig.dir}/log-${rig.id()}`;
        const r = await rig.run(words, { global: ['--log', log, '--log-format', 'json'], env: PATH });
        const said = name === 'ringfence' ? r.stderr : r.stderr + (await rig.reaper.run(['/bin/cat', log])).stdout;
        expect(r.status, said).toBe(status);
        if (text instanceof RegExp) expect(said).toMatch(text);
        const need = row.need?.[state];
        if (need?.fails === true) expect(r.status).not.toBe(0);
        if (need?.text !== undefined) expect(said).toMatch(need.text);
        if (name === 'ringfence') {
          // A failure is one line on standard error and one record in the log; without one there is neither.
          const expected = (row.command === 'exec' && status === 7) || row.command.endsWith('is killed') ? 0 : Number(status !== 0);
          expect(r.stderr.match(/\n/g)?.length ?? 0).toBe(expected);
          const records = (await rig.reaper.run(['/bin/cat', log])).stdout;
          if (expected === 0) expect(records).toBe('');
          else expect(JSON.parse(records)).toMatchObject({ level: 'error', msg: r.stderr.replace('ringfence: ', '').trimEnd() });
        }
        if (after === 'stopped') await rig.reaches(subject.id, 'stopped');
        expect(await stateOf(rig, subject.id)).toBe(after ?? state);
        if (after !== undefined) await rig.run(['delete', '--force', subject.id]);
      });
    }
  });
});
