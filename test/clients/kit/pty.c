// pty ROWS COLS COMMAND...: runs a command on a terminal of its own. Standard input is typed there, what appears goes to standard output;
// a line "ROWS COLS" on descriptor 3 changes its size. Ends with the command's status.

#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

static int copy(int from, int to)
{
	char buffer[8192];
	ssize_t n = read(from, buffer, sizeof buffer);

	for (ssize_t at = 0, w; at < n; at += w) {
		w = write(to, buffer + at, (size_t)(n - at));
		if (w < 0)
			return 0;
	}
	return n > 0;
}

static int resize(int master)
{
	char line[64];
	ssize_t n = read(3, line, sizeof line - 1);
	struct winsize size = { 0 };

	if (n <= 0)
		return 0;
	line[n] = 0;
	if (sscanf(line, "%hu %hu", &size.ws_row, &size.ws_col) == 2)
		ioctl(master, TIOCSWINSZ, &size);
	return 1;
}

int main(int argc, char **argv)
{
	struct winsize size = { 0 };
	int master, status = 0, ended = 0, quiet = 0;

	if (argc < 4) {
		fprintf(stderr, "usage: pty ROWS COLS COMMAND...\n");
		return 125;
	}
	size.ws_row = (unsigned short)atoi(argv[1]);
	size.ws_col = (unsigned short)atoi(argv[2]);
	pid_t child = forkpty(&master, NULL, NULL, &size);
	if (child < 0) {
		perror("pty: forkpty");
		return 125;
	}
	if (child == 0) {
		close(3);
		execvp(argv[3], argv + 3);
		perror(argv[3]);
		_exit(127);
	}
	fcntl(master, F_SETFD, FD_CLOEXEC);
	struct pollfd fds[3] = { { .fd = master, .events = POLLIN }, { .fd = 0, .events = POLLIN }, { .fd = 3, .events = POLLIN } };
	// What is on its way when the command ends is still shown; who else holds the terminal is not waited for.
	while (fds[0].fd >= 0 && quiet < 5) {
		int n = poll(fds, 3, 50);

		if (!ended && waitpid(child, &status, WNOHANG) == child)
			ended = 1;
		if (n == 0 && ended)
			quiet++;
		if (fds[0].revents && !copy(master, 1))
			fds[0].fd = -1;
		if (fds[1].revents && !copy(0, master))
			fds[1].fd = -1;
		if (fds[2].revents && !resize(master))
			fds[2].fd = -1;
	}
	close(master);
	if (!ended)
		waitpid(child, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
