/* The mounter: mounts what a container's tool (crun, runc) needs, in a mount namespace of its own,
 * and becomes the tool.
 *
 *     pymesos-mounter HIDDEN FOLDER OPTIONS BUNDLE [PATH TARGET IDENTITY]... -- TOOL [ARGUMENT]...
 *
 * HIDDEN is unmounted; of an overlay there are the FOLDER to be in and the OPTIONS; of each path of
 * the machine there are where it is mounted and what it was when it was judged (device:inode). What
 * is empty is left out. It is the twin of PREPARE in tools.py, a script that runs where this is not
 * compiled and takes three programs more: what is changed there is changed here.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *bundle = "";

/* End with a line in the log of the bundle, where the supervisor looks for it; of a call without a
 * bundle on standard error. */
static void __attribute__((noreturn, format(printf, 1, 2))) give_up(const char *format, ...)
{
    char path[4200];
    int log = -1;
    va_list arguments;
    snprintf(path, sizeof path, "%s/error.log", bundle);
    if (*bundle)
        log = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    va_start(arguments, format);
    vdprintf(log < 0 ? STDERR_FILENO : log, format, arguments);
    va_end(arguments);
    _exit(1);
}

static void mount_overlay(const char *folder, const char *options)
{
    char root[4200];
    snprintf(root, sizeof root, "%s/rootfs", bundle);
    if (chdir(folder) < 0)
        give_up("cannot enter %s: %s\n", folder, strerror(errno));
    if (mount("overlay", root, "overlay", MS_NOSUID | MS_NODEV, options) < 0)
        give_up("cannot mount the layers of its image: %s\n", strerror(errno));
}

/* Mount a path if it still is what it was. */
static void mount_path(const char *path, const char *target, const char *identity)
{
    char found[64];
    struct stat status;
    if (mount(path, target, NULL, MS_BIND, NULL) < 0 || stat(target, &status) < 0)
        give_up("cannot mount %s: %s\n", path, strerror(errno));
    snprintf(found, sizeof found, "%llu:%llu", (unsigned long long)status.st_dev,
             (unsigned long long)status.st_ino);
    if (strcmp(found, identity) != 0)
        give_up("%s is something else than what was allowed a moment ago\n", path);
}

int main(int argc, char **argv)
{
    if (argc < 7)
        give_up("pymesos-mounter is run by an agent of pymesos, and not by hand\n");
    const char *hidden = argv[1], *folder = argv[2], *options = argv[3];
    bundle = argv[4];
    if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        give_up("cannot have a mount namespace of its own: %s\n", strerror(errno));
    if (*hidden && umount2(hidden, 0) < 0)
        give_up("cannot unmount %s: %s\n", hidden, strerror(errno));
    if (*folder)
        mount_overlay(folder, options);
    char **next = argv + 5;
    for (; next[0] && strcmp(next[0], "--") != 0; next += 3) {
        if (!next[1] || !next[2])
            give_up("pymesos-mounter: a path without its target and identity\n");
        mount_path(next[0], next[1], next[2]);
    }
    if (!next[0] || !next[1])
        give_up("pymesos-mounter: no tool is named\n");
    execv(next[1], next + 1);
    give_up("the tool %s cannot be executed: %s\n", next[1], strerror(errno));
}
