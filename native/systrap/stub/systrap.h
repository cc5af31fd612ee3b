// What only systrap's stub has.
#ifndef RINGFENCE_SYSTRAP_H
#define RINGFENCE_SYSTRAP_H

// handler.S
void stub_signal_entry(void);
void stub_first_trap(void) __attribute__((noreturn));
void stub_return_to(u64 rsp) __attribute__((noreturn));

// entry.S
extern const char stub_entry[], stub_entry_switched[], stub_exit_switched[], stub_exit_end[];
void stub_escape(void) __attribute__((noreturn));
extern const char stub_escaped[];

// process.c
s64 start_thread(u32 index, const struct stub_ucontext *uc);
s64 fork_process(u32 index, int others);
void set_altstack(u32 index);

// signal.c
void stub_thread_main(u32 index, struct stub_ucontext *uc) __attribute__((noreturn));

// commands.c
u64 get_base(int gs);
void set_base(int gs, u64 base);
void set_guest_gs(struct rf_thread *t, u64 base);
void enter_thread(u32 index);
s64 carry_out(struct rf_block *b, u32 command);
int prepare_full(struct rf_block *b, u32 command, char *fp);
u64 jump_target(const struct rf_thread *t, u64 rip);

// patch.c
s64 patch_site(u64 site, u64 prot, int threads, u64 nr);
u32 site_event(u64 rip);
void forget_sites(void);
// What a trapped instruction pointer means to the guest. See patch.c.
enum place { PLACE_GUEST, PLACE_CALL, PLACE_TAIL, PLACE_AGAIN };
enum place place_of(struct sigcontext *m, int signal, int code);

#endif
