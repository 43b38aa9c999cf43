#include "backing/backing_files.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "backing/temporary.hpp"
#include "backing/tree_copy.hpp"

namespace nbdcheck {
namespace {

namespace fs = std::filesystem;
using Arguments = std::vector<std::string>;

class Backing : public Temporary {
 protected:
  Backing() {
    fs::create_directory(at("scratch"));
    fs::create_directory(at("user"));
  }

  BackingFiles prepared(const Arguments& arguments, std::string_view magic = "file",
                        bool write_in_place = false) {
    auto files = BackingFiles::prepare(arguments, {magic}, at("scratch"), write_in_place);
    EXPECT_TRUE(files.has_value()) << files.error();
    return files ? std::move(*files) : BackingFiles();
  }
  Arguments for_child(const BackingFiles& files, const std::string& name) {
    fs::create_directory(at("scratch/" + name));
    auto arguments = files.arguments_for(at("scratch/" + name));
    EXPECT_TRUE(arguments.has_value()) << arguments.error();
    return arguments ? *arguments : Arguments();
  }
  BackingKind kind(const std::string& argument, std::string_view magic = "file",
                   bool first = true, std::span<const std::string> keys = {}) {
    return classify_argument(argument, {magic, keys}, first).kind;
  }
  static std::string path_of(const std::string& argument) {
    return argument.substr(argument.find('=') + 1);
  }
};

TEST_F(Backing, EveryChildHasItsOwnCopy) {
  const std::string disk = write("user/disk.img", "precious");
  const BackingFiles files = prepared({"file=" + disk, "size=1M", disk});
  EXPECT_FALSE(files.force_readonly());
  EXPECT_FALSE(files.shared_by_children());
  ASSERT_EQ(files.notes().size(), 1U);
  EXPECT_EQ(files.notes()[0], "'" + disk + "' was copied; only copies are written to");

  const Arguments one = for_child(files, "one");
  EXPECT_EQ(one, (Arguments{"file=" + at("scratch/one/0/disk.img"), "size=1M",
                            at("scratch/one/0/disk.img")}));
  std::ofstream(path_of(one[0])) << "changed";
  const Arguments two = for_child(files, "two");
  EXPECT_EQ(contents(path_of(two[0])), "precious");
  EXPECT_EQ(contents(disk), "precious");
  // The first copy counts, not what becomes of the file during the run.
  write("user/disk.img", "other");
  EXPECT_EQ(contents(path_of(for_child(files, "three")[0])), "precious");
}

TEST_F(Backing, RelativePathsAndLinksAreFollowed) {
  write("user/disk.img", "precious");
  fs::create_symlink("disk.img", at("user/link"));
  const fs::path before = fs::current_path();
  fs::current_path(at("user"));
  const BackingFiles files = prepared({"link"});
  fs::current_path(before);
  const Arguments child = for_child(files, "one");
  EXPECT_EQ(child[0], at("scratch/one/0/link"));
  EXPECT_TRUE(S_ISREG(status_of(child[0]).st_mode));
  std::ofstream(child[0]) << "changed";
  EXPECT_EQ(contents(at("user/disk.img")), "precious");
}

TEST_F(Backing, KnowsFilesFromValues) {
  const fs::path before = fs::current_path();
  fs::current_path(at("user"));
  for (const char* const name : {"1M", "42", "on", "disk", "a=b"})
    write("user/" + std::string(name), "x");
  EXPECT_EQ(kind("size=1M"), BackingKind::none);
  EXPECT_EQ(kind("size=42"), BackingKind::none);
  EXPECT_EQ(kind("cache=on"), BackingKind::none);
  EXPECT_EQ(kind("1M", "size"), BackingKind::none);
  EXPECT_EQ(kind("file=42"), BackingKind::image);
  EXPECT_EQ(kind("42", "file"), BackingKind::image);
  EXPECT_EQ(kind("size=./42"), BackingKind::image);
  EXPECT_EQ(kind("data=disk"), BackingKind::image);
  EXPECT_EQ(kind("disk", "", false), BackingKind::image);
  EXPECT_EQ(kind("a=b"), BackingKind::none);
  EXPECT_EQ(kind("data=@0x100 1 2"), BackingKind::none);
  EXPECT_EQ(kind("file=missing"), BackingKind::none);
  EXPECT_EQ(kind("file="), BackingKind::none);
  fs::current_path(before);
}

TEST_F(Backing, ProgramsAreUsedInPlace) {
  const std::string script = write("user/plugin", "#!/bin/sh\n");
  const std::string python = write("user/plugin.py", "def open(r): pass\n");
  const std::string named = write("user/disk.py", std::string("\0\1\2", 3));
  const std::string executable = write("user/image", std::string("\0\1\2", 3));
  fs::permissions(executable, fs::perms(0755));
  EXPECT_EQ(kind("prog=" + script), BackingKind::program);
  EXPECT_EQ(kind("prog=" + python), BackingKind::program);
  EXPECT_EQ(kind("prog=" + named), BackingKind::image);
  EXPECT_EQ(kind("prog=" + executable), BackingKind::image);
  // Served, not run.
  EXPECT_EQ(kind("file=" + script), BackingKind::image);
  EXPECT_EQ(kind(python, "file"), BackingKind::image);
  const Arguments keys{"prog"};
  EXPECT_EQ(kind("prog=" + script, "file", true, keys), BackingKind::image) << "--backing=prog";
  EXPECT_EQ(kind("other=" + script, "file", true, keys), BackingKind::program);
  EXPECT_EQ(kind("prog=" + at("user"), "file", true, keys), BackingKind::directory);
  EXPECT_EQ(kind("prog=/dev/null", "file", true, keys), BackingKind::harmless);
  EXPECT_EQ(kind("prog=" + at("nothing"), "file", true, keys), BackingKind::none);
  // Run, whatever it looks like.
  EXPECT_EQ(kind("script=" + named), BackingKind::program);
  EXPECT_EQ(kind(named, "script"), BackingKind::program);
  // Perhaps run; perhaps the plugin did not even tell its magic key.
  EXPECT_EQ(kind(script, ""), BackingKind::program);
  EXPECT_EQ(kind(named, ""), BackingKind::image);
  const BackingFiles files = prepared({script, "x=1"}, "script");
  EXPECT_EQ(for_child(files, "one"), (Arguments{script, "x=1"}));
  EXPECT_TRUE(files.notes().empty());
}

TEST_F(Backing, DevicesForceReadOnly) {
  EXPECT_EQ(kind("file=/dev/null"), BackingKind::harmless);
  EXPECT_EQ(kind("file=/dev/urandom"), BackingKind::harmless);
  if (!fs::exists("/dev/tty")) GTEST_SKIP() << "no /dev/tty";
  EXPECT_EQ(kind("file=/dev/tty"), BackingKind::device);
  const BackingFiles files = prepared({"file=/dev/tty"});
  EXPECT_TRUE(files.force_readonly());
  ASSERT_EQ(files.notes().size(), 1U);
  EXPECT_EQ(files.notes()[0],
            "'/dev/tty' is a device: it is used in place and the run is read-only; "
            "--write-in-place allows writing to it, which destroys its contents");
  EXPECT_EQ(for_child(files, "one"), Arguments{"file=/dev/tty"});
}

TEST_F(Backing, WriteInPlaceCopiesNothing) {
  const std::string disk = write("user/disk.img", "precious");
  const BackingFiles files = prepared({"file=" + disk}, "file", true);
  EXPECT_TRUE(files.shared_by_children());
  EXPECT_FALSE(files.force_readonly());
  EXPECT_EQ(files.notes(), Arguments{"'" + disk + "' is written to in place"});
  EXPECT_EQ(for_child(files, "one"), Arguments{"file=" + disk});
}

TEST_F(Backing, DirectoriesAreCopiedWithoutLeavingThem) {
  fs::create_directories(at("user/dir/sub"));
  write("user/secret", "precious");
  write("user/dir/sub/file", "text");
  fs::create_symlink("sub/file", at("user/dir/inside"));
  fs::create_symlink("../sub/file", at("user/dir/sub/up"));
  fs::create_symlink("../secret", at("user/dir/outside"));
  fs::create_symlink(at("user/secret"), at("user/dir/absolute"));
  ASSERT_EQ(mkfifo(at("user/dir/pipe").c_str(), 0600), 0);
  fs::permissions(at("user/dir/sub"), fs::perms(0500));
  const BackingFiles files = prepared({"dir=" + at("user/dir/")});
  EXPECT_EQ(files.notes(), Arguments{"'" + at("user/dir/") +
                                     "' was copied; only copies are written to (3 devices, "
                                     "sockets or links out of it were left out)"});
  const std::string copy = path_of(for_child(files, "one")[0]);
  EXPECT_EQ(contents(copy + "/inside"), "text");
  EXPECT_EQ(contents(copy + "/sub/up"), "text");
  EXPECT_EQ(status_of(copy + "/sub").st_mode & 0777U, 0500U);
  EXPECT_FALSE(fs::exists(fs::symlink_status(copy + "/outside")));
  EXPECT_FALSE(fs::exists(fs::symlink_status(copy + "/absolute")));
  EXPECT_FALSE(fs::exists(fs::symlink_status(copy + "/pipe")));
}

TEST_F(Backing, DirectoryAroundTheScratchDirectory) {
  write("user/disk.img", "x");
  const BackingFiles files = prepared({"dir=" + root_.string()});
  const std::string copy = path_of(for_child(files, "one")[0]);
  EXPECT_EQ(contents(copy + "/user/disk.img"), "x");
  EXPECT_FALSE(fs::exists(copy + "/scratch"));
}

TEST_F(Backing, LargeDirectoriesStayInPlace) {
  fs::create_directory(at("user/dir"));
  for (int i = 0; i <= static_cast<int>(max_tree_entries); ++i) {
    const int fd = open(at("user/dir/" + std::to_string(i)).c_str(), O_CREAT | O_CLOEXEC, 0600);
    ASSERT_GE(fd, 0);
    close(fd);
  }
  const BackingFiles files = prepared({"dir=" + at("user/dir")});
  EXPECT_TRUE(files.force_readonly());
  EXPECT_EQ(for_child(files, "one"), Arguments{"dir=" + at("user/dir")});
  EXPECT_NE(files.notes().at(0).find("is a directory of more than 256 MiB or 10,000 entries"),
            std::string::npos);
}

TEST_F(Backing, LargeFilesStayInPlace) {
  const std::string disk = at("user/disk.img");
  const int fd = open(disk.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  const bool allocated =
      posix_fallocate(fd, 0, static_cast<off_t>(max_image_bytes) + (1 << 20)) == 0;
  close(fd);
  if (!allocated) GTEST_SKIP() << "no space for a large file";
  const BackingFiles files = prepared({"file=" + disk});
  fs::remove(disk);
  EXPECT_TRUE(files.force_readonly());
  EXPECT_NE(files.notes().at(0).find("too much to copy"), std::string::npos);
}

TEST_F(Backing, NamesAreNotTrusted) {
  const std::string disk = write("user/\x1b[2J\n.img", "x");
  const BackingFiles files = prepared({disk});
  EXPECT_EQ(files.notes().at(0).find('\x1b'), std::string::npos);
  EXPECT_EQ(contents(for_child(files, "one")[0]), "x");
}

TEST_F(Backing, ACopyThatFailsIsAnError) {
  const std::string disk = write("user/disk.img", "x");
  const BackingFiles files = prepared({disk});
  const auto arguments = files.arguments_for(at("missing/\x1b"));
  EXPECT_TRUE(arguments.has_value());  // made on the way
  write("file", "");
  const auto failed = files.arguments_for(at("file"));
  ASSERT_FALSE(failed.has_value());
  EXPECT_NE(failed.error().find("cannot copy"), std::string::npos);
}

}  // namespace
}  // namespace nbdcheck
