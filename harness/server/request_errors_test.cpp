// Which error a request ends with, and what is noticed about it.
#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>

#include "server/requests_test.hpp"

namespace nbdcheck::test {
namespace {

TEST_F(Requests, WhereErrnoComesFrom) {
  struct Case {
    int set_error;
    int errno_value;
    bool preserved;
    int reply;
  };
  for (const Case& c :
       {Case{0, ENOSPC, false, EIO}, Case{0, ENOSPC, true, ENOSPC},
        Case{EPERM, ENOSPC, true, EPERM}, Case{EPERM, 0, false, EPERM}, Case{0, 0, true, EIO}}) {
    script.returns[Callback::pread] = -1;
    script.sets_error.clear();
    if (c.set_error != 0) script.sets_error[Callback::pread] = c.set_error;
    script.sets_errno[Callback::pread] = c.errno_value;
    table.errno_is_preserved = c.preserved ? 7 : 0;
    begin();
    EXPECT_EQ(connection->read(block, 0).error, c.reply);
    const bool known = c.set_error != 0 || (c.preserved && c.errno_value != 0);
    EXPECT_EQ(incidents(), known ? Incidents{} : Incidents{IncidentKind::no_errno});
    running.reset();
  }
}

TEST_F(Requests, ErrorsDoNotOutliveTheirRequest) {
  script.returns[Callback::pread] = -1;
  script.sets_error[Callback::pread] = ENOSPC;
  begin();
  EXPECT_EQ(connection->read(block, 0).error, ENOSPC);
  script.sets_error.clear();
  EXPECT_EQ(connection->read(block, 0).error, EIO);
}

TEST_F(Requests, ErrorsStickWithinARequest) {
  add_all();
  script.returns[Callback::can_fua] = fua_emulate;
  script.sets_error[Callback::pwrite] = ENOSPC;
  script.returns[Callback::flush] = -1;
  begin();
  EXPECT_EQ(connection->write(block, 0, command_flag::fua).error, ENOSPC);
  EXPECT_EQ(incidents(), Incidents{IncidentKind::errno_on_success});
}

TEST_F(Requests, ErrnoMustBePositive) {
  script.returns[Callback::pread] = -1;
  script.sets_error[Callback::pread] = -5;
  begin();
  EXPECT_EQ(connection->read(block, 0).error, EIO);
  EXPECT_EQ(incidents(), (Incidents{IncidentKind::errno_not_positive, IncidentKind::no_errno}));
}

TEST_F(Requests, ErrnosWithoutAWordOnTheWireLoseTheirMeaning) {
  add_all();
  struct Case {
    Callback callback;
    int error;
    bool lost;
  };
  for (const Case& c :
       {Case{Callback::pread, ENOENT, true}, Case{Callback::pread, ETIMEDOUT, true},
        Case{Callback::pread, EINVAL, false}, Case{Callback::pread, EIO, false},
        Case{Callback::pread, EROFS, false}, Case{Callback::pread, EDQUOT, false},
        Case{Callback::pread, EOPNOTSUPP, true}, Case{Callback::trim, EOPNOTSUPP, false},
        Case{Callback::trim, EBUSY, true}}) {
    script.returns[c.callback] = -1;
    script.sets_error[c.callback] = c.error;
    begin();
    const Reply reply =
        c.callback == Callback::pread ? connection->read(block, 0) : connection->trim(512, 0);
    EXPECT_EQ(reply.error, c.error);
    EXPECT_EQ(incidents(), c.lost ? Incidents{IncidentKind::errno_lost} : Incidents{});
    running.reset();
  }
}

TEST_F(Requests, FailuresNeedAMessage) {
  script.returns[Callback::pread] = -1;
  script.sets_error[Callback::pread] = EIO;
  script.silent.insert(Callback::pread);
  begin();
  EXPECT_EQ(connection->read(block, 0).error, EIO);
  EXPECT_EQ(incidents(), Incidents{IncidentKind::no_error_message});
}

TEST_F(Requests, OtherReturnValuesAreSuccess) {
  begin();
  for (const int value : {-2, 1, 512}) {
    script.returns[Callback::pread] = value;
    EXPECT_TRUE(connection->read(block, 0).ok());
  }
  EXPECT_EQ(incidents(), Incidents(3, IncidentKind::return_value));
}

}  // namespace
}  // namespace nbdcheck::test
