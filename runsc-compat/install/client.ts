// What a container client needs to know of a runtime, and where it looks for it.

/** A client's configuration file as it is and as it should be; null: there is none. */
export interface Change {
  path: string;
  before: string | null;
  after: string | null;
}

/** How files are found below another root than / (images that are being built, tests). */
export interface Sysroot {
  /** The text of a file, null where there is none. `path` is absolute. */
  read(path: string): string | null;
}

export interface Client {
  readonly name: string;
  /** Files or folders that show that it is here. */
  readonly signs: readonly string[];
  /** The file with `runtime`, the absolute path of the launcher, under the name ringfence. Throws a CliError for a file that it cannot understand. */
  install(files: Sysroot, runtime: string): Change;
  /** The file without it. */
  uninstall(files: Sysroot): Change;
  /** What to do for the client to notice, and how to try it. */
  readonly next: readonly string[];
}

/** Lines around what was written into a file that is not ours alone. */
export const BEGIN = '# ringfence: begin (written by `ringfence install`)';
export const END = '# ringfence: end';

/** `text` without the lines from BEGIN to END. */
export function withoutBlock(text: string): string {
  const from = text.indexOf(BEGIN);
  if (from < 0) return text;
  const to = text.indexOf(END, from);
  const rest = to < 0 ? '' : text.slice(to + END.length).replace(/^\n/, '');
  return `${text.slice(0, from).replace(/\n\n$/, '\n')}${rest}`;
}

/** `text` with a block of lines at its end. */
export function withBlock(text: string, block: string): string {
  const own = withoutBlock(text);
  const start = own === '' || own.endsWith('\n') ? own : `${own}\n`;
  return `${start}${start === '' ? '' : '\n'}${BEGIN}\n${block.trim()}\n${END}\n`;
}
