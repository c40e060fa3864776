/* What an attacker's program does that a shell cannot. Static, so that it runs in any image.
 *
 *   intruder type          push a byte into the terminal that is standard input (ioctl_tty(2), TIOCSTI)
 *   intruder hold CMD ...  a session keyring with a key in it, then CMD
 *   intruder search        look for that key in the session keyring
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { JOIN_SESSION_KEYRING = 1, SEARCH = 10, SESSION_KEYRING = -3 };

static int push(int descriptor)
{
	char byte = 'X';
	return ioctl(descriptor, TIOCSTI, &byte);
}

int main(int argc, char **argv)
{
	puts("the-process-runs");
	if (argc > 1 && !strcmp(argv[1], "type")) {
		int first = push(0), again = open("/proc/self/fd/0", O_RDWR);
		ioctl(again, TIOCSCTTY, 0);
		printf("pushed %d %d\n", first, push(again));
	} else if (argc > 2 && !strcmp(argv[1], "hold")) {
		fflush(stdout);
		if (syscall(SYS_keyctl, JOIN_SESSION_KEYRING, NULL) < 0 ||
		    syscall(SYS_add_key, "user", "attack-canary", "secret", 6, SESSION_KEYRING) < 0)
			return 98;
		execvp(argv[2], argv + 2);
		return 99;
	} else if (argc > 1 && !strcmp(argv[1], "search")) {
		long found = syscall(SYS_keyctl, SEARCH, SESSION_KEYRING, "user", "attack-canary", 0);
		printf("search %s\n", found < 0 ? strerror(errno) : "found");
	}
	return 0;
}
