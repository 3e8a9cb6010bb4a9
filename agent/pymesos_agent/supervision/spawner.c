/* The spawner: starts the first process of a container without a copy of the supervisor.
 *
 * A fork of an interpreter costs more than all else of a short task: its page tables, and a page
 * fault on each page that either side touches next. This process has next to no memory, so its
 * forks are cheap. It is a child of the supervisor, whose requests come over standard input, a
 * socket of messages, and its forks are the supervisor's children, too (CLONE_PARENT): so the supervisor
 * reaps and kills them as those that it forks by itself, and nothing depends on this process when
 * they run.
 *
 * A request is one message that comes with a descriptor: texts that end in NUL, of which
 * spawning.py says the order. The answer is the pid, or minus errno (8 bytes); to a message without
 * a descriptor, which asks whether this program works here, it is 0. What the new process cannot do
 * it writes to the descriptor, in the words of becoming.py, of which this is the twin: what is
 * changed there is changed here. That descriptor closes as the program is executed, and not before
 * the answer is there.
 *
 * Where its only cgroup is one of version 2, the new process is born there (CLONE_INTO_CGROUP), as no
 * Python program can have it.
 *
 * Until the new process is the task's user it has nothing of the task's but bytes: this program has
 * an empty environment, and searches for the task's program as late as becoming.py does. It ends
 * with the supervisor, when its standard input does.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MAX_REQUEST_BYTES (64 * 1024) /* as in spawning.py, which asks for nothing larger */
#define DEFAULT_PATH "/bin:/usr/bin"  /* as os.defpath */
#define PROCS "/cgroup.procs"         /* by which a cgroup of version 2 is joined */
#define INTO_CGROUP 0x200000000ULL    /* CLONE_INTO_CGROUP, since Linux 5.7 */

static int error_fd = -1;
static const char *step = "read its request";
static int is_in_its_group; /* the new process was born in its cgroup */

static void give_up(int error)
{
    char text[4000];
    int length = snprintf(text, sizeof text, "cannot %s: %s", step, strerror(error));
    if (length > (int)sizeof text - 1)
        length = sizeof text - 1;
    if (write(error_fd, text, length) < 0)
        _exit(126);
    _exit(127);
}

static void check(int result)
{
    if (result < 0)
        give_up(errno);
}

/* What is left of the request. */
static char *next, *end;

static char *text(void)
{
    char *begin = next;
    char *nul = next < end ? memchr(next, 0, end - next) : NULL;
    if (nul == NULL)
        give_up(EBADMSG);
    next = nul + 1;
    return begin;
}

static unsigned long long number(void)
{
    char *rest, *digits = text();
    errno = 0;
    unsigned long long value = strtoull(digits, &rest, 10);
    if (errno || rest == digits || *rest)
        give_up(EBADMSG);
    return value;
}

/* How many of something follow; each takes a byte at least. */
static size_t count(void)
{
    unsigned long long value = number();
    if (value > (size_t)(end - next))
        give_up(EBADMSG);
    return value;
}

static void *memory(size_t items, size_t bytes)
{
    void *made = calloc(items + 1, bytes);
    if (made == NULL)
        give_up(ENOMEM);
    return made;
}

static char **texts(void)
{
    size_t items = count();
    char **made = memory(items, sizeof *made);
    for (size_t i = 0; i < items; i++)
        made[i] = text();
    return made;
}

static void join_groups(void)
{
    step = "join its cgroup";
    for (size_t left = count(); left > 0; left--) {
        char *path = text();
        if (is_in_its_group)
            continue;
        int procs = open(path, O_WRONLY | O_CLOEXEC);
        check(procs);
        check((int)write(procs, "0", 1));
        close(procs);
    }
}

static void limit(void)
{
    step = "limit it";
    for (size_t left = count(); left > 0; left--) {
        int resource = (int)number();
        struct rlimit limits;
        limits.rlim_cur = number();
        limits.rlim_max = number();
        check(setrlimit(resource, &limits));
    }
}

static void open_pipes(void)
{
    step = "open its pipes";
    int streams[3];
    check(streams[0] = open("/dev/null", O_RDONLY | O_CLOEXEC));
    check(streams[1] = open(text(), O_RDWR | O_CLOEXEC));
    check(streams[2] = open(text(), O_RDWR | O_CLOEXEC));
    for (int i = 0; i < 3; i++)
        check(dup2(streams[i], i)); /* our standard input, the supervisor's socket, goes */
}

static void change_user(void)
{
    char said[80];
    if (!number())
        return;
    uid_t uid = number();
    gid_t gid = number();
    snprintf(said, sizeof said, "become user %u:%u", (unsigned)uid, (unsigned)gid);
    step = said;
    size_t groups = count();
    gid_t *more = memory(groups, sizeof *more);
    for (size_t i = 0; i < groups; i++)
        more[i] = number();
    check(setgroups(groups, more));
    check(setgid(gid));
    check(setuid(uid));
    step = "change its user";
}

/* The entry of an environment that begins as `name`, which ends in "="; or NULL. */
static char **entry(char **env, const char *name)
{
    for (; *env; env++)
        if (strncmp(*env, name, strlen(name)) == 0)
            return env;
    return NULL;
}

/* A PATH without the folders that this process may not search: see becoming.py. */
static char *searchable(const char *path)
{
    size_t length = strlen(path);
    char *kept = memory(length + sizeof "PATH=" DEFAULT_PATH, 1), *out = stpcpy(kept, "PATH=");
    char *folder = memory(length + 3, 1);
    int any = 0;
    for (const char *begin = path;; begin++) {
        const char *stop = strchrnul(begin, ':');
        struct stat status;
        memcpy(folder, begin, stop - begin);
        strcpy(folder + (stop - begin), "/.");
        if (stat(folder, &status) == 0 || errno != EACCES) {
            if (any++)
                *out++ = ':';
            out = mempcpy(out, begin, stop - begin);
            *out = 0;
        }
        begin = stop;
        if (!*begin)
            break;
    }
    if (!*(kept + strlen("PATH=")))
        strcpy(kept, "PATH=" DEFAULT_PATH);
    return kept;
}

static void execute(char **argv, char **env)
{
    char *said = memory(strlen(argv[0]) + sizeof "execute ", 1);
    stpcpy(stpcpy(said, "execute "), argv[0]);
    step = said;
    if (strchr(argv[0], '/')) {
        execve(argv[0], argv, env);
        give_up(errno);
    }
    char **path = entry(env, "PATH=");
    const char *begin = path ? *path + strlen("PATH=") : DEFAULT_PATH;
    char *file = memory(strlen(begin) + strlen(argv[0]) + 3, 1);
    int problem = ENOENT;
    for (;; begin++) {
        const char *stop = strchrnul(begin, ':');
        char *out = stop > begin ? mempcpy(file, begin, stop - begin) : stpcpy(file, ".");
        stpcpy(stpcpy(out, "/"), argv[0]);
        execve(file, argv, env);
        if (errno != ENOENT && errno != ENOTDIR)
            problem = errno;
        begin = stop;
        if (!*begin)
            break;
    }
    give_up(problem);
}

/* In the new process: turn into the container's main process, or say why not and end. */
static void become(char *said, size_t bytes)
{
    next = said;
    end = said + bytes;
    step = "have a session of its own";
    check(setsid());
    join_groups();
    limit();
    open_pipes();
    if (number()) {
        step = "give up rights";
        check(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    }
    change_user();
    char *folder = text();
    step = "enter its sandbox";
    check(chdir(folder));
    umask(022);
    step = "read its request";
    int has_path_of_agent = number() != 0;
    char **argv = texts(), **env = texts(), **path;
    if (argv[0] == NULL)
        give_up(EINVAL);
    if (has_path_of_agent && (path = entry(env, "PATH=")))
        *path = searchable(*path + strlen("PATH="));
    execute(argv, env);
}

static char request[MAX_REQUEST_BYTES];

/* Read the next request, with its descriptor into `error_fd`; 0 or less when no more come. */
static ssize_t receive(void)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec part = {request, sizeof request};
    struct msghdr message = {
        .msg_iov = &part,
        .msg_iovlen = 1,
        .msg_control = control.bytes,
        .msg_controllen = sizeof control.bytes,
    };
    ssize_t got;
    do
        got = recvmsg(0, &message, MSG_CMSG_CLOEXEC);
    while (got < 0 && errno == EINTR);
    if (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC))
        return -1;
    struct cmsghdr *first = got > 0 ? CMSG_FIRSTHDR(&message) : NULL;
    error_fd = -1;
    if (first && first->cmsg_type == SCM_RIGHTS)
        memcpy(&error_fd, CMSG_DATA(first), sizeof error_fd);
    return got;
}

/* The folder of the only cgroup of a request, if that is one of version 2; below 0: there is none. */
static int only_group(char *said, size_t bytes)
{
    char folder[4096];
    char *path = said + 2, *nul = bytes > 2 ? memchr(path, 0, bytes - 2) : NULL;
    if (nul == NULL || memcmp(said, "1", 2) != 0)
        return -1;
    size_t length = nul - path, name = strlen(PROCS);
    if (length <= name || length >= sizeof folder || strcmp(nul - name, PROCS) != 0)
        return -1;
    *(char *)mempcpy(folder, path, length - name) = 0;
    return open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

/* Fork into a cgroup: who joins one by itself takes a lock of the whole machine, which may take the
 * kernel 16 ms. Below 0: it cannot be done here, and the new process has to join. */
static int64_t fork_into(int group)
{
    int64_t pid = -1;
#ifdef SYS_clone3
    /* As clone_args of linux/sched.h; with CLONE_PARENT the signal of our own end is its, too. */
    struct {
        uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid,
            set_tid_size, cgroup;
    } how = {.flags = CLONE_PARENT | INTO_CGROUP, .cgroup = group};
    is_in_its_group = 1;
    pid = syscall(SYS_clone3, &how, sizeof how);
    if (pid != 0)
        is_in_its_group = 0;
#endif
    return pid;
}

/* Fork, into the cgroup if there is but one of version 2. */
static int64_t new_process(char *said, size_t bytes)
{
    int group = only_group(said, bytes);
    int64_t pid = group < 0 ? -1 : fork_into(group);
    if (pid < 0)
        pid = syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0);
    if (pid < 0)
        pid = -errno;
    if (pid != 0 && group >= 0)
        close(group);
    return pid;
}

int main(void)
{
    prctl(PR_SET_NAME, "pymesos-spawner");
    syscall(SYS_close_range, 3, ~0U, 0);
    /* What our forks inherit. The library keeps two signals to itself, which posix_spawn ignores. */
    const uint64_t by_default[8] = {0};
    for (int each = 1; each < NSIG; each++)
        syscall(SYS_rt_sigaction, each, by_default, NULL, sizeof(uint64_t));
    for (;;) {
        int64_t pid = 0;
        ssize_t bytes = receive();
        if (bytes <= 0)
            return bytes < 0;
        if (error_fd >= 0) {
            pid = new_process(request, bytes);
            if (pid == 0)
                become(request, bytes);
        }
        explicit_bzero(request, bytes); /* environments hold secrets */
        if (write(0, &pid, sizeof pid) != sizeof pid)
            return 1;
        if (error_fd >= 0)
            close(error_fd);
    }
}
