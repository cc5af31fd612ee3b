// Versions that commands print.

import { version } from '../package.json';

export const VERSION: string = version;
/** The newest runtime specification that is implemented. */
export const SPEC_VERSION = '1.2.0';
/** The oldest one. */
export const SPEC_VERSION_MIN = '1.0.0';
