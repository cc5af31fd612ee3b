// Device rules of a container: linux.resources.devices, then those that every container may use, as entries of devices.allow and
// devices.deny (cgroup v1, Documentation/admin-guide/cgroup-v1/devices.rst).

import { CliError } from '../errors.ts';
import { readKnob, writeKnob } from './knobs.ts';
import type { DeviceRule } from './resources.ts';

/** What every container gets, whatever its configuration says: as runc's list. */
const ALWAYS = [
  'c *:* m',
  'b *:* m',
  'c 1:3 rwm',
  'c 1:8 rwm',
  'c 1:7 rwm',
  'c 5:0 rwm',
  'c 1:5 rwm',
  'c 1:9 rwm',
  'c 136:* rwm',
  'c 5:2 rwm',
  'c 10:200 rwm',
];

/** What is allowed or denied beside `open`: entries "TYPE MAJOR:MINOR" with their accesses. */
export interface DeviceList {
  /** True: all but the entries is allowed. */
  open: boolean;
  entries: Map<string, Set<string>>;
}

function number(n: number | undefined): string {
  return n === undefined || n < 0 ? '*' : String(n);
}

function add(list: DeviceList, allow: boolean, key: string, access: string): void {
  const have = list.entries.get(key) ?? new Set<string>();
  for (const a of access) {
    if (allow === list.open) have.delete(a);
    else have.add(a);
  }
  if (have.size > 0) list.entries.set(key, have);
  else list.entries.delete(key);
}

function addText(list: DeviceList, text: string): void {
  const [type = '', numbers = '', access = ''] = text.split(' ');
  add(list, true, `${type} ${numbers}`, access);
}

/** What a container may use. Throws for a rule that cannot be meant. */
export function deviceList(rules: readonly DeviceRule[]): DeviceList {
  const list: DeviceList = { open: false, entries: new Map() };
  rules.forEach((r, i) => {
    const type = r.type ?? 'a';
    const access = r.access === undefined || r.access === '' ? 'rwm' : r.access;
    if (!/^[rwm]+$/.test(access)) throw new CliError(`/linux/resources/devices/${i}/access is "${access}", allowed are letters of "rwm"`);
    if (!['a', 'b', 'c'].includes(type)) throw new CliError(`/linux/resources/devices/${i}/type is "${type}", allowed are a, b, c`);
    if (type === 'a') {
      list.open = r.allow;
      list.entries.clear();
    } else add(list, r.allow, `${type} ${number(r.major)}:${number(r.minor)}`, access);
  });
  for (const text of ALWAYS) addText(list, text);
  return list;
}

/** devices.list as a list; a group that denies some of all cannot be read back. */
export function parseDeviceList(text: string): DeviceList {
  const list: DeviceList = { open: false, entries: new Map() };
  for (const line of text.split('\n')) {
    if (line.startsWith('a ')) list.open = true;
    else if (line !== '') addText(list, line);
  }
  return list;
}

/** Brings a v1 group's rules to `want` with as few writes as it takes. */
export function writeDevices(folder: string, want: DeviceList): void {
  const have = parseDeviceList(readKnob(folder, 'devices.list'));
  if (have.open || want.open) {
    writeKnob(folder, want.open ? 'devices.allow' : 'devices.deny', 'a');
    have.open = want.open;
    have.entries.clear();
  }
  const lines = (a: DeviceList, b: DeviceList): string[] => {
    const out: string[] = [];
    for (const [key, access] of a.entries) {
      const rest = [...'rwm'].filter((x) => access.has(x) && b.entries.get(key)?.has(x) !== true).join('');
      if (rest !== '') out.push(`${key} ${rest}`);
    }
    return out;
  };
  for (const line of lines(have, want)) writeKnob(folder, 'devices.deny', line);
  for (const line of lines(want, have)) writeKnob(folder, want.open ? 'devices.deny' : 'devices.allow', line);
}
