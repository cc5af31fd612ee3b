// What each architecture has its own way stands in folders with its name: this one, and those beside the sources that need it.
#ifndef RINGFENCE_ARCH_H
#define RINGFENCE_ARCH_H

#if defined(__x86_64__)
#include "x86_64/arch.h"
#else
#error "there is no folder native/include/ARCHITECTURE for this architecture"
#endif

#endif
