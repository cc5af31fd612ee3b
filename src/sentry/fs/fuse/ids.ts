// Users and groups of a container as the host's kernel is told of them (user_namespaces(7)).

const OVERFLOW_ID = 65534;

interface Line {
  inside: number;
  outside: number;
  count: number;
}

function parse(text: string): Line[] {
  const out: Line[] = [];
  for (const l of text.split('\n')) {
    const [inside, outside, count] = l.trim().split(/\s+/).map(Number);
    if (inside !== undefined && outside !== undefined && count !== undefined && inside + outside + count >= 0)
      out.push({ inside, outside, count });
  }
  return out;
}

function map(lines: readonly Line[] | null, id: number): number {
  if (lines === null) return id;
  for (const l of lines) if (id >= l.inside && id - l.inside < l.count) return l.outside + id - l.inside;
  return OVERFLOW_ID;
}

export class OutsideIds {
  private readonly uids: Line[] | null;
  private readonly gids: Line[] | null;

  /** `text`: uid_map and gid_map, each ended by a NUL. '': ids are the same inside and outside. */
  constructor(text: string) {
    const [u, g] = text.split('\0');
    this.uids = text === '' ? null : parse(u ?? '');
    this.gids = text === '' ? null : parse(g ?? '');
  }

  uid(id: number): number {
    return map(this.uids, id);
  }

  gid(id: number): number {
    return map(this.gids, id);
  }
}
