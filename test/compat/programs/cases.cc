// A GoogleTest program with every kind of ending: see ../run.test.ts.
#include <errno.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

// Is this the sandbox? It has no io_uring, while a host that forbids it says EPERM.
static bool inside() { return syscall(SYS_io_uring_setup, 0, nullptr) == -1 && errno == ENOSYS; }

TEST(Plain, Passes) { EXPECT_EQ(2, 1 + 1); }

TEST(Plain, FailsEverywhere) { EXPECT_EQ(3, 1 + 1) << "as it must"; }

TEST(Plain, SkipsEverywhere) { GTEST_SKIP() << "not wanted"; }

TEST(Plain, DISABLED_IsNotRun) { FAIL(); }

TEST(Differs, FailsInside) { EXPECT_FALSE(inside()) << "a reason <with> \"marks\" & more"; }

TEST(Differs, CrashesInside) {
  printf("half a line");
  fflush(stdout);
  if (inside()) raise(SIGSEGV);
}

TEST(Differs, HangsInside) {
  if (inside()) pause();
}

TEST(Differs, SkipsInside) {
  if (inside()) GTEST_SKIP() << "only on the host";
}

TEST(Differs, PrintsSomethingElse) { printf("this is %s\n", inside() ? "the sandbox" : "the host"); }

TEST(Differs, ExitsInside) {
  if (inside()) exit(0);
}

class Numbers : public ::testing::TestWithParam<int> {};
TEST_P(Numbers, AreSmall) { EXPECT_LT(GetParam(), 100); }
INSTANTIATE_TEST_SUITE_P(Some, Numbers, ::testing::Values(1, 2));

TEST(Last, StillRuns) { SUCCEED(); }

int main(int argc, char **argv) {
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
