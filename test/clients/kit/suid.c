// Owned by root with the set-user-ID bit: tells who runs it, and whether it could become that user.

#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

int main(void)
{
	uid_t real, effective, saved;
	int fd;

	getresuid(&real, &effective, &saved);
	printf("real %u effective %u saved %u\n", real, effective, saved);
	printf("no_new_privs %d\n", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
	fd = open("/etc/secret", O_RDONLY);
	printf("secret %s\n", fd < 0 ? "closed" : "open");
	return 0;
}
