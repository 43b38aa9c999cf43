#include "instruments/reports.hpp"

#include <gtest/gtest.h>

namespace nbdcheck {
namespace {

constexpr std::string_view overflow =
    R"(=================================================================
==41==ERROR: AddressSanitizer: heap-buffer-overflow on address 0x602000000010 at pc 0x7f bp sp
READ of size 1 at 0x602000000010 thread T1
    #0 0x7f0123 in misbehave /src/my.c:99 (/tmp/my.so+0x1234)
    #1 0x7f0456 in my_pread /src/my.c:129 (/tmp/my.so+0x1456)
    #2 0x55aaaa in nbdcheck::Connection::read /src/requests.cpp:8 (/usr/bin/nbdcheck-asan+0x99)
    #3 0x55bbbb in std::thread::_State::run <null> (/usr/bin/nbdcheck-asan+0x98)

0x602000000010 is located 0 bytes to the right of 16-byte region
allocated by thread T1 here:
    #0 0x7f9999 in malloc <null> (/lib/libasan.so.8+0xbe)
    #1 0x7f0123 in misbehave /src/my.c:95 (/tmp/my.so+0x1230)

SUMMARY: AddressSanitizer: heap-buffer-overflow /src/my.c:99 in misbehave
Shadow bytes around the buggy address:
)";

TEST(Reports, OfAddressSanitizer) {
  const auto report = first_report(overflow, "/tmp/my.so");
  ASSERT_TRUE(report);
  EXPECT_EQ(report->rule, "memory.address");
  EXPECT_EQ(report->what, "heap-buffer-overflow");
  ASSERT_EQ(report->lines.size(), 9U);
  EXPECT_NE(report->lines[3].find("my_pread"), std::string::npos);
  for (const auto& line : report->lines)
    EXPECT_EQ(line.find("nbdcheck"), std::string::npos) << line;
}

TEST(Reports, NothingIsFoundInOrdinaryWords) {
  EXPECT_FALSE(first_report("", "p.so"));
  EXPECT_FALSE(first_report("opening the disk\nnbdkit: error: no space\n", "p.so"));
  EXPECT_FALSE(first_report("panic: runtime error: index out of range [7]\n", "p.so"));
  EXPECT_FALSE(first_report("==12== Memcheck, a memory error detector\n", "p.so"));
}

TEST(Reports, OursAreNotThePlugins) {
  EXPECT_FALSE(
      first_report("==1==ERROR: AddressSanitizer: SEGV on unknown address\n"
                   "    #0 0x1 in memcpy <null> (/lib/libasan.so.8+0x1)\n"
                   "    #1 0x2 in nbdcheck::f() /x.cpp:1 (/usr/bin/nbdcheck-asan+0x2)\n"
                   "    #2 0x2 in std::g() /x.cpp:1 (/usr/bin/nbdcheck-asan+0x2)\n",
                   "p.so"));
  EXPECT_FALSE(
      first_report("Direct leak of 8 byte(s) in 1 object(s) allocated from:\n"
                   "    #0 0x1 in malloc <null> (/lib/libasan.so.8+0x1)\n"
                   "    #1 0x2 in f /x.cpp:1 (/usr/lib/libother.so+0x2)\n",
                   "/tmp/p.so"));
}

TEST(Reports, OfThreadSanitizer) {
  constexpr std::string_view text = R"(WARNING: ThreadSanitizer: data race (pid=1)
  Write of size 4 at 0x7f by thread T2:
    #0 0x1 in my_pread /src/my.c:3 (/tmp/my.so+0x1)
    #1 0x1 in nbdcheck::call() /src/c.cpp:3 (/bin/nbdcheck-tsan+0x1)

  Previous write of size 4 at 0x7f by thread T1:
    #0 0x1 in my_pread /src/my.c:3 (/tmp/my.so+0x1)

SUMMARY: ThreadSanitizer: data race /src/my.c:3 in my_pread
==================
)";
  const auto report = first_report(text, "my.so");
  ASSERT_TRUE(report);
  EXPECT_EQ(report->rule, "race.data");
  EXPECT_EQ(report->what, "data race");
  const auto locks = first_report(
      "WARNING: ThreadSanitizer: lock-order-inversion (potential deadlock) (pid=1)\n"
      "    #0 0x1 in my_pread /src/my.c:3 (/tmp/my.so+0x1)\n",
      "my.so");
  ASSERT_TRUE(locks);
  EXPECT_EQ(locks->rule, "race.locks");
}

TEST(Reports, OfUndefinedBehaviour) {
  const auto report = first_report(
      "my.c:12:3: runtime error: shift exponent 40 is too large for 32-bit type 'int'\n", "my.so");
  ASSERT_TRUE(report);
  EXPECT_EQ(report->rule, "memory.undefined");
  EXPECT_EQ(report->what, "shift exponent 40 is too large for 32-bit type 'int'");
}

TEST(Reports, OfLeaks) {
  const auto report = first_report(
      "==1==ERROR: LeakSanitizer: detected memory leaks\n\n"
      "Direct leak of 16 byte(s) in 2 object(s) allocated from:\n"
      "    #0 0x1 in malloc <null> (/lib/libasan.so.8+0x1)\n"
      "    #1 0x2 in my_open /src/my.c:7 (/tmp/my.so+0x2)\n"
      "    #2 0x2 in nbdcheck::open() /x.cpp:1 (/bin/nbdcheck-asan+0x2)\n\n",
      "./my.so");
  ASSERT_TRUE(report);
  EXPECT_EQ(report->rule, "leak.memory");
  EXPECT_EQ(report->lines.size(), 3U);
}

TEST(Reports, OfMemcheck) {
  const auto invalid = first_report(
      "==7== Thread 2:\n==7== Invalid read of size 1\n"
      "==7==    at 0x48: misbehave (my.c:99)\n==7==    by 0x49: my_pread (my.c:129)\n"
      "==7==    by 0x4a: operator() (r.cpp:2)\n"
      "==7==    by 0x4a: nbdcheck::Connection::read() (r.cpp:1)\n"
      "==7==  Address 0x5 is 3 bytes after a block of size 16 alloc'd\n"
      "==7==    at 0x48: malloc (vg_replace_malloc.c:381)\n==7== \n",
      "my.so");
  ASSERT_TRUE(invalid);
  EXPECT_EQ(invalid->rule, "memory.address");
  EXPECT_EQ(invalid->tool, "memcheck");
  EXPECT_EQ(invalid->lines.size(), 5U) << "none of ours";
  const auto unset = first_report(
      "==7== Conditional jump or move depends on uninitialised value(s)\n"
      "==7==    at 0x48: misbehave (my.c:99)\n==7== \n",
      "my.so");
  ASSERT_TRUE(unset);
  EXPECT_EQ(unset->rule, "memory.uninitialised");
  EXPECT_FALSE(
      first_report("==7== Conditional jump or move depends on uninitialised value(s)\n"
                   "==7==    at 0x48: bcmp (vg_replace_strmem.c:1)\n"
                   "==7==    by 0x48: nbdcheck::judge() (j.cpp:9)\n==7== \n",
                   "my.so"))
      << "ours: the plugin's data, looked at by us";
  const auto lost = first_report(
      "==7== 16 bytes in 1 blocks are definitely lost in loss record 3 of 9\n"
      "==7==    at 0x48: malloc (vg_replace_malloc.c:381)\n==7==    by 0x49: my_open (my.c:7)\n"
      "==7== \n",
      "my.so");
  ASSERT_TRUE(lost);
  EXPECT_EQ(lost->rule, "leak.memory");
}

}  // namespace
}  // namespace nbdcheck
