// System V shared memory, semaphores and message queues; POSIX message queues.
#include "test.h"
#include <mqueue.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>

TEST(shm_attach_and_share, shmat, shmctl, shmdt, shmget) {
  int id = shmget(IPC_PRIVATE, 5000, IPC_CREAT | 0600);
  CHECK(id >= 0);
  char *p = shmat(id, NULL, 0);
  CHECK(p != (void *)-1);
  CHECK_EQ(p[4999], 0);
  pid_t pid = fork();
  if (!pid) {
    strcpy(p, "written by the child");
    _exit(0);
  }
  WAIT_OK(pid);
  CHECK_STR(p, "written by the child");
  struct shmid_ds ds;
  CHECK_OK(shmctl(id, IPC_STAT, &ds));
  CHECK(ds.shm_segsz == 5000 && ds.shm_nattch == 1 && ds.shm_cpid == getpid() && (ds.shm_perm.mode & 0777) == 0600);
  CHECK_OK(shmctl(id, IPC_RMID, NULL));
  CHECK_EQ(p[0], 'w'); // lives until the last detach
  CHECK_OK(shmdt(p));
  CHECK_ERRNO(shmdt(p), EINVAL);
  CHECK_ERRNO(shmat(id, NULL, 0), EINVAL);
}

TEST(shm_keys_and_errors, shmat, shmctl, shmget) {
  key_t key = 0x52460000 + getpid();
  CHECK_ERRNO(shmget(key, 100, 0600), ENOENT);
  int id = shmget(key, 100, IPC_CREAT | IPC_EXCL | 0600);
  CHECK(id >= 0);
  CHECK_ERRNO(shmget(key, 100, IPC_CREAT | IPC_EXCL | 0600), EEXIST);
  CHECK_EQ(shmget(key, 50, 0), id);
  CHECK_ERRNO(shmget(key, 200, 0), EINVAL);
  CHECK_ERRNO(shmget(IPC_PRIVATE, 0, IPC_CREAT), EINVAL);
  char *p = shmat(id, NULL, SHM_RDONLY);
  CHECK(p != (void *)-1);
  pid_t pid = fork();
  if (!pid) {
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    p[0] = 1;
    _exit(0);
  }
  int st;
  CHECK_EQ(test_wait(pid, &st), pid);
  CHECK(WIFSIGNALED(st) && WTERMSIG(st) == SIGSEGV);
  pid = fork();
  if (!pid) {
    become(1234, 1234);
    CHECK_ERRNO(shmat(id, NULL, 0), EACCES);
    CHECK_ERRNO(shmctl(id, IPC_RMID, NULL), EPERM);
    _exit(0);
  }
  WAIT_OK(pid);
  CHECK_OK(shmctl(id, IPC_RMID, NULL));
}

static int sem_op(int id, int num, int op, int flags) {
  struct sembuf b = {num, op, flags};
  return semop(id, &b, 1);
}
TEST(sem_basic, semctl, semget, semtimedop) {
  int id = semget(IPC_PRIVATE, 3, 0600);
  CHECK(id >= 0);
  CHECK_EQ(semctl(id, 1, GETVAL), 0);
  CHECK_OK(semctl(id, 1, SETVAL, 5));
  CHECK_OK(sem_op(id, 1, -3, 0));
  CHECK_EQ(semctl(id, 1, GETVAL), 2);
  CHECK_ERRNO(sem_op(id, 1, -3, IPC_NOWAIT), EAGAIN);
  CHECK_ERRNO(sem_op(id, 1, 0, IPC_NOWAIT), EAGAIN);
  CHECK_OK(sem_op(id, 0, 0, 0));
  CHECK_ERRNO(sem_op(id, 7, 1, 0), EFBIG);
  CHECK_ERRNO(semctl(id, 1, SETVAL, 40000), ERANGE);
  struct sembuf both[2] = {{1, -1, 0}, {2, -1, IPC_NOWAIT}};
  CHECK_ERRNO(semop(id, both, 2), EAGAIN); // all or nothing
  CHECK_EQ(semctl(id, 1, GETVAL), 2);
  unsigned short all[3] = {7, 8, 9}, got[3];
  CHECK_OK(semctl(id, 0, SETALL, all));
  CHECK_OK(semctl(id, 0, GETALL, got));
  CHECK(got[0] == 7 && got[2] == 9);
  CHECK_EQ(semctl(id, 0, GETPID), getpid());
  CHECK_OK(semctl(id, 0, IPC_RMID));
  CHECK_ERRNO(sem_op(id, 0, 1, 0), EINVAL);
}

TEST(sem_wait_and_removal, semctl, semget, semtimedop) {
  int id = semget(IPC_PRIVATE, 1, 0600);
  pid_t pid = fork();
  if (!pid) {
    CHECK_OK(sem_op(id, 0, -1, 0));
    CHECK_ERRNO(sem_op(id, 0, -1, 0), EIDRM);
    _exit(0);
  }
  until_sleeps(pid);
  CHECK_EQ(semctl(id, 0, GETNCNT), 1);
  CHECK_OK(sem_op(id, 0, 1, 0));
  msleep(5);
  until_sleeps(pid);
  CHECK_OK(semctl(id, 0, IPC_RMID));
  WAIT_OK(pid);
}

TEST(sem_undo_and_timeout, semctl, semget, semtimedop) {
  int id = semget(IPC_PRIVATE, 1, 0600);
  CHECK_OK(semctl(id, 0, SETVAL, 3));
  pid_t pid = fork();
  if (!pid) {
    CHECK_OK(sem_op(id, 0, -2, SEM_UNDO));
    _exit(0);
  }
  WAIT_OK(pid);
  CHECK_EQ(semctl(id, 0, GETVAL), 3);
  struct sembuf b = {0, -5, 0};
  struct timespec ts = {0, 20000000};
  double start = now();
  CHECK_ERRNO(semtimedop(id, &b, 1, &ts), EAGAIN);
  CHECK(now() - start >= 0.019);
  CHECK_OK(semctl(id, 0, IPC_RMID));
}

struct msg {
  long type;
  char text[64];
};
TEST(msg_types, msgctl, msgget, msgrcv, msgsnd) {
  int id = msgget(IPC_PRIVATE, 0600);
  CHECK(id >= 0);
  struct msg m = {3, "three"}, r;
  CHECK_OK(msgsnd(id, &m, 6, 0));
  m = (struct msg){1, "one"};
  CHECK_OK(msgsnd(id, &m, 4, 0));
  m = (struct msg){2, "two"};
  CHECK_OK(msgsnd(id, &m, 4, 0));
  CHECK_EQ(msgrcv(id, &r, 64, 2, 0), 4);
  CHECK_STR(r.text, "two");
  CHECK_EQ(msgrcv(id, &r, 64, -3, 0), 4); // the lowest type up to three
  CHECK_STR(r.text, "one");
  CHECK_ERRNO(msgrcv(id, &r, 64, 9, IPC_NOWAIT), ENOMSG);
  CHECK_ERRNO(msgrcv(id, &r, 2, 0, 0), E2BIG);
  CHECK_EQ(msgrcv(id, &r, 2, 0, MSG_NOERROR), 2);
  m.type = 0;
  CHECK_ERRNO(msgsnd(id, &m, 4, 0), EINVAL);
  struct msqid_ds ds;
  CHECK_OK(msgctl(id, IPC_STAT, &ds));
  CHECK_EQ(ds.msg_qnum, 0);
  CHECK_OK(msgctl(id, IPC_RMID, NULL));
}

TEST(msg_blocks_and_wakes, msgctl, msgget, msgrcv, msgsnd) {
  int id = msgget(IPC_PRIVATE, 0600);
  pid_t pid = fork();
  struct msg r, m = {5, "wake"};
  if (!pid) {
    CHECK_EQ(msgrcv(id, &r, 64, 5, 0), 5);
    CHECK_STR(r.text, "wake");
    CHECK_ERRNO(msgrcv(id, &r, 64, 5, 0), EIDRM);
    _exit(0);
  }
  until_sleeps(pid);
  CHECK_OK(msgsnd(id, &m, 5, 0));
  msleep(5);
  until_sleeps(pid);
  CHECK_OK(msgctl(id, IPC_RMID, NULL));
  WAIT_OK(pid);
}

static const char *queue(void) {
  static char name[64];
  snprintf(name, sizeof name, "/rf-test-%d", getpid());
  return name;
}
TEST(mq_priorities, mq_getsetattr, mq_open, mq_timedreceive, mq_timedsend, mq_unlink) {
  struct mq_attr attr = {.mq_maxmsg = 4, .mq_msgsize = 32}, got;
  mqd_t q = mq_open(queue(), O_CREAT | O_EXCL | O_RDWR | O_NONBLOCK, 0600, &attr);
  CHECK(q != (mqd_t)-1);
  CHECK_ERRNO(mq_open(queue(), O_CREAT | O_EXCL | O_RDWR, 0600, &attr), EEXIST);
  CHECK_OK(mq_unlink(queue()));
  char b[32];
  unsigned prio;
  CHECK_ERRNO(mq_receive(q, b, 32, &prio), EAGAIN);
  CHECK_OK(mq_send(q, "low", 4, 1));
  CHECK_OK(mq_send(q, "high", 5, 9));
  CHECK_OK(mq_send(q, "high2", 6, 9));
  CHECK_OK(mq_getattr(q, &got));
  CHECK(got.mq_curmsgs == 3 && got.mq_maxmsg == 4 && got.mq_msgsize == 32 && got.mq_flags == O_NONBLOCK);
  CHECK_EQ(mq_receive(q, b, 32, &prio), 5);
  CHECK(prio == 9 && !strcmp(b, "high"));
  CHECK_EQ(mq_receive(q, b, 32, &prio), 6);
  CHECK_EQ(mq_receive(q, b, 32, &prio), 4);
  CHECK_EQ(prio, 1);
  CHECK_ERRNO(mq_receive(q, b, 31, &prio), EMSGSIZE);
  CHECK_ERRNO(mq_send(q, b, 33, 1), EMSGSIZE);
  CHECK_ERRNO(mq_send(q, b, 1, 40000), EINVAL);
  for (int i = 0; i < 4; i++) CHECK_OK(mq_send(q, b, 1, 0));
  CHECK_ERRNO(mq_send(q, b, 1, 0), EAGAIN);
  CHECK_ERRNO(mq_open("/rf-absent", O_RDONLY), ENOENT);
  CHECK_ERRNO(mq_unlink("/rf-absent"), ENOENT);
}

static volatile sig_atomic_t told;
static void on_told(int sig) { (void)sig, told++; }
TEST(mq_blocks_notifies_polls, mq_notify, mq_open, mq_timedreceive, mq_timedsend, mq_unlink) {
  struct mq_attr attr = {.mq_maxmsg = 4, .mq_msgsize = 32};
  mqd_t q = mq_open(queue(), O_CREAT | O_RDWR, 0600, &attr);
  CHECK(q != (mqd_t)-1);
  CHECK_OK(mq_unlink(queue()));
  char b[32];
  pid_t pid = fork();
  if (!pid) {
    CHECK_EQ(mq_receive(q, b, 32, NULL), 3);
    _exit(0);
  }
  until_sleeps(pid);
  CHECK_OK(mq_send(q, "abc", 3, 0));
  WAIT_OK(pid);
  struct pollfd f = {q, POLLIN | POLLOUT, 0};
  CHECK_EQ(poll(&f, 1, 0), 1);
  CHECK_EQ(f.revents, POLLOUT);
  on_signal(SIGUSR1, on_told, 0);
  struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
  CHECK_OK(mq_notify(q, &ev));
  CHECK_ERRNO(mq_notify(q, &ev), EBUSY);
  CHECK_OK(mq_send(q, "x", 1, 0));
  for (int i = 0; i < 100 && !told; i++) msleep(2);
  CHECK_EQ(told, 1);
  struct timespec ts = {1, 0};
  CHECK_EQ(mq_receive(q, b, 32, NULL), 1);
  CHECK_ERRNO(mq_timedreceive(q, b, 32, NULL, &ts), ETIMEDOUT);
}
