// How uname(2) names this architecture.

export const UTS_MACHINE = 'x86_64';
