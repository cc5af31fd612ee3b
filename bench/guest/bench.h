// What the rows of the benchmark's guest program share. Every row runs in a process of its own, so that what it opens or maps ends with it.
#ifndef RINGFENCE_BENCH_H
#define RINGFENCE_BENCH_H

#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>

// A row: prepare may be NULL; op does its operation n times. What op leaves behind it must be able to use again.
struct row {
  const char *name;
  void (*prepare)(void);
  void (*op)(long n);
};

// Ends a row that cannot be measured; the reason goes to the table.
__attribute__((noreturn, format(printf, 1, 2))) void fail(const char *format, ...);

// Fails with the text of errno if a call answered less than zero.
#define MUST(call)                           \
  ({                                         \
    long must_result = (long)(call);         \
    if (must_result < 0) fail("%s: %m", #call); \
    must_result;                             \
  })

// Paths that main() makes of its arguments: a folder of fixtures that the host keeps, and one for what rows write.
extern const char *fixtures, *scratch;
// The folder whose names are looked up, when the number of its entries is what varies; otherwise NULL.
extern const char *crowd;

// Opens a file of the fixtures, or makes one of 1 MiB in the scratch folder.
int open_data(void);
int open_scratch(void);

// Rows of each family; they end with a name that is NULL.
extern const struct row file_rows[], memory_rows[], process_rows[], wake_rows[];

// Surroundings of a row: n spinning threads, open descriptors, sleeping threads, mappings. Each returns how many there really are.
long surround_busy(long n);
long surround_files(long n);
long surround_tasks(long n);
long surround_maps(long n);

#endif
