// reaper TAG COMMAND...: runs a command as a well-kept init would: what it leaves behind is adopted and reaped at once, and can be found as
// the descendants of a process with TAG in its arguments. Ends with the command's status; the adopting half stays for as long as anything
// is left. Hosts differ in how soon their own init reaps, and a zombie of a container's process changes what a runtime reports.

#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static void adopt(int report, pid_t child)
{
	int none = open("/dev/null", O_RDWR);

	// Nobody waits for streams that we hold.
	dup2(none, 0);
	dup2(none, 1);
	dup2(none, 2);
	dup2(report, 3);
	fcntl(3, F_SETFD, FD_CLOEXEC);
	for (int fd = 4; fd < 1024; fd++)
		close(fd);
	for (;;) {
		int status;
		pid_t pid = wait(&status);

		if (pid < 0)
			_exit(0);
		if (pid != child)
			continue;
		if (write(3, &status, sizeof status) != sizeof status)
			_exit(1);
		close(3);
	}
}

int main(int argc, char **argv)
{
	int ends[2], status;
	pid_t group = getpgrp();

	if (argc < 3 || pipe2(ends, O_CLOEXEC) < 0) {
		fprintf(stderr, "usage: reaper TAG COMMAND...\n");
		return 125;
	}
	signal(SIGPIPE, SIG_DFL);
	pid_t inner = fork();
	if (inner < 0) {
		perror("reaper: fork");
		return 125;
	}
	if (inner == 0) {
		// The group of the command is killed when its time is over: this half must survive that.
		setpgid(0, 0);
		prctl(PR_SET_CHILD_SUBREAPER, 1);
		pid_t child = fork();
		if (child == 0) {
			setpgid(0, group);
			execvp(argv[2], argv + 2);
			perror(argv[2]);
			_exit(127);
		}
		adopt(ends[1], child);
	}
	close(ends[1]);
	if (read(ends[0], &status, sizeof status) != sizeof status)
		return 125;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
