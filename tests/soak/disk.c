/* A disk for tests, loaded before the C library (LD_PRELOAD): it remembers what was synced, can be full, and can fail.
 *
 * CAMPANILE_DISK_ROOT       the folder that is on this disk
 * CAMPANILE_DISK_KEPT       where what a power cut leaves is kept: `f-ID` has the bytes of a file when it was last
 *                           synced, `d-ID` the names of a folder, as `ID NAME` lines
 * CAMPANILE_DISK_ROOM       how many bytes its files may grow by in this process
 * CAMPANILE_DISK_SYNCS      how many syncs succeed; the next one fails, and so do all that follow
 *
 * A sync of a file keeps its bytes and, as the journals of file systems do, the names that lead to it unless these names
 * were something else before. What takes another one's name (a rename) is kept by a sync of its folder only.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define ID_MAX 64
#define BLOCK (1 << 16)

static char root[PATH_MAX], kept[PATH_MAX];
static _Atomic long room = LONG_MAX, syncs = LONG_MAX;
static pthread_mutex_t keeping = PTHREAD_MUTEX_INITIALIZER;

#define REAL(name) ((typeof(&name))dlsym(RTLD_NEXT, #name))

static long number(const char *name) {
  const char *text = getenv(name);
  return text ? atol(text) : LONG_MAX;
}

__attribute__((constructor)) static void begin(void) {
  const char *from = getenv("CAMPANILE_DISK_ROOT"), *to = getenv("CAMPANILE_DISK_KEPT");
  if (!from || !to || !realpath(from, root) || !realpath(to, kept)) root[0] = 0;
  room = number("CAMPANILE_DISK_ROOM");
  syncs = number("CAMPANILE_DISK_SYNCS");
}

/* The number of an inode is used again after a file was removed; with the time when it was made it is one file's own. */
static int id_at(int folder, const char *name, char *id) {
  struct statx st;
  if (statx(folder, name, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW, STATX_INO | STATX_BTIME | STATX_TYPE, &st)) return -1;
  snprintf(id, ID_MAX, "%llx-%llx-%x", (unsigned long long)st.stx_ino, (unsigned long long)st.stx_btime.tv_sec,
           st.stx_btime.tv_nsec);
  return S_ISDIR(st.stx_mode) ? 1 : S_ISREG(st.stx_mode) ? 0 : -1;
}

/* The path of an open file below the root; 0 where it is none. */
static int path_of(int fd, char *path) {
  char link[64];
  if (!root[0]) return 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, PATH_MAX - 1);
  if (length < 0) return 0;
  path[length] = 0;
  size_t of_root = strlen(root);
  return !strncmp(path, root, of_root) && (path[of_root] == '/' || !path[of_root]);
}

static void must(int holds, const char *what) {
  if (holds) return;
  perror(what);
  abort();
}

/* Readers of `kept` see the old or the new file whole. */
static FILE *open_kept(char kind, const char *id, char *path, char *part) {
  snprintf(path, PATH_MAX, "%s/%c-%s", kept, kind, id);
  snprintf(part, PATH_MAX, "%s/part-%d", kept, getpid());
  FILE *file = fopen(part, "w");
  must(file != NULL, part);
  return file;
}

static void close_kept(FILE *file, const char *path, const char *part) {
  must(!fclose(file) && !rename(part, path), path);
}

static void keep_bytes(int fd, const char *id) {
  static char block[BLOCK];
  char path[PATH_MAX], part[PATH_MAX], link[64];
  FILE *file = open_kept('f', id, path, part);
  int from = fd;
  if ((fcntl(fd, F_GETFL) & O_ACCMODE) == O_WRONLY) {
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    from = open(link, O_RDONLY | O_CLOEXEC);
    must(from >= 0, link);
  }
  off_t at = 0;
  for (ssize_t n; (n = pread(from, block, BLOCK, at)) > 0; at += n) must(fwrite(block, 1, n, file) == (size_t)n, path);
  close_kept(file, path, part);
  if (from != fd) close(from);
}

static void keep_names(const char *folder, const char *id) {
  char path[PATH_MAX], part[PATH_MAX], of[ID_MAX];
  DIR *names = opendir(folder);
  must(names != NULL, folder);
  FILE *file = open_kept('d', id, path, part);
  for (struct dirent *name; (name = readdir(names));) {
    if (!strcmp(name->d_name, ".") || !strcmp(name->d_name, "..")) continue;
    if (id_at(dirfd(names), name->d_name, of) >= 0) fprintf(file, "%s %s\n", of, name->d_name);
  }
  closedir(names);
  close_kept(file, path, part);
}

/* Adds a name to those kept of a folder, unless it is there. */
static void keep_name(const char *folder, const char *name, const char *of) {
  char id[ID_MAX], path[PATH_MAX], line[PATH_MAX + ID_MAX];
  if (id_at(AT_FDCWD, folder, id) != 1) return;
  snprintf(path, sizeof path, "%s/d-%s", kept, id);
  FILE *file = fopen(path, "a+");
  must(file != NULL, path);
  rewind(file);
  while (fgets(line, sizeof line, file)) {
    line[strcspn(line, "\n")] = 0;
    char *there = strchr(line, ' ');
    if (there && !strcmp(there + 1, name)) {
      fclose(file);
      return;
    }
  }
  fprintf(file, "%s %s\n", of, name);
  must(!fclose(file), path);
}

static void keep(int fd) {
  char path[PATH_MAX], id[ID_MAX];
  if (!path_of(fd, path)) return;
  int kind = id_at(fd, "", id);
  if (kind < 0) return;
  pthread_mutex_lock(&keeping);
  if (kind) keep_names(path, id);
  else keep_bytes(fd, id);
  char there[ID_MAX];
  /* The names that lead to it, as long as it still has its own. */
  while (strlen(path) > strlen(root) && id_at(AT_FDCWD, path, there) >= 0 && !strcmp(there, id)) {
    char *name = strrchr(path, '/');
    *name = 0;
    keep_name(path, name + 1, id);
    if (id_at(AT_FDCWD, path, id) < 0) break;
  }
  pthread_mutex_unlock(&keeping);
}

static int sync_with(int (*sync)(int), int fd) {
  char path[PATH_MAX];
  if (path_of(fd, path) && atomic_fetch_sub(&syncs, 1) <= 0) {
    errno = EIO;
    return -1;
  }
  /* What is there when the sync begins is there after it. */
  keep(fd);
  return sync(fd);
}

int fsync(int fd) { return sync_with(REAL(fsync), fd); }
int fdatasync(int fd) { return sync_with(REAL(fdatasync), fd); }

/* How much of a write fits; -1 and ENOSPC where nothing does. */
static ssize_t fits(int fd, off_t at, size_t length) {
  char path[PATH_MAX];
  struct stat st;
  if (atomic_load(&room) == LONG_MAX || fstat(fd, &st) || !S_ISREG(st.st_mode) || !path_of(fd, path)) return length;
  if (at < 0) at = (fcntl(fd, F_GETFL) & O_APPEND) ? st.st_size : lseek(fd, 0, SEEK_CUR);
  off_t grows = at + (off_t)length - (at > st.st_size ? at : st.st_size);
  if (grows <= 0) return length;
  long left = atomic_fetch_sub(&room, grows);
  if (left >= grows) return length;
  atomic_fetch_add(&room, grows);
  if (left <= 0 || (off_t)length - grows + left <= 0) {
    errno = ENOSPC;
    return -1;
  }
  atomic_fetch_sub(&room, left);
  return length - grows + left;
}

#define FITS(fd, at, length)                    \
  ssize_t fit = fits(fd, at, length);           \
  if (fit < 0) return -1

ssize_t write(int fd, const void *from, size_t length) {
  FITS(fd, -1, length);
  return REAL(write)(fd, from, fit);
}
ssize_t pwrite(int fd, const void *from, size_t length, off_t at) {
  FITS(fd, at, length);
  return REAL(pwrite)(fd, from, fit, at);
}
ssize_t pwrite64(int fd, const void *from, size_t length, off64_t at) {
  FITS(fd, at, length);
  return REAL(pwrite64)(fd, from, fit, at);
}
ssize_t writev(int fd, const struct iovec *parts, int count) {
  size_t length = 0;
  for (int n = 0; n < count; n++) length += parts[n].iov_len;
  FITS(fd, -1, length);
  if ((size_t)fit == length) return REAL(writev)(fd, parts, count);
  return REAL(write)(fd, parts[0].iov_base, (size_t)fit < parts[0].iov_len ? (size_t)fit : parts[0].iov_len);
}

static int gives_back(int done, off_t bytes) {
  if (!done && bytes > 0 && atomic_load(&room) != LONG_MAX) atomic_fetch_add(&room, bytes);
  return done;
}

int unlink(const char *path) {
  struct stat st;
  int there = !stat(path, &st) && st.st_nlink == 1;
  return gives_back(REAL(unlink)(path), there && !strncmp(path, root, strlen(root)) ? st.st_size : 0);
}
