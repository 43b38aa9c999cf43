// nbdkit_read_password(3): "-" asks on the terminal, "-N" reads file descriptor
// N, "+FILE" reads a file, anything else is the password itself.
#include <termios.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "api/api.hpp"

namespace api = nbdcheck::api;

namespace {

struct Free {
  void operator()(char* text) const { std::free(text); }
};
struct Close {
  void operator()(std::FILE* file) const { std::fclose(file); }
};
using File = std::unique_ptr<std::FILE, Close>;

std::string with_errno(const std::string& text) { return text + ": " + std::strerror(errno); }

int refuse(const std::string& text) {
  api::report_error(text);
  return -1;
}

// The first line without its newline, or -1.  A plugin cannot take the memory
// from a std::string, so getline(3) allocates it.
int read_line(std::FILE* file, const std::string& from, char** password) {
  char* line = nullptr;
  std::size_t capacity = 0;
  errno = 0;
  const ssize_t length = getline(&line, &capacity, file);
  std::unique_ptr<char, Free> owner(line);
  if (length < 0 && std::ferror(file) != 0) {
    return refuse(with_errno("could not read the password from " + from));
  }
  if (length < 0) {  // end of file at once: the empty password
    *password = api::copy_for_caller("");
    return *password == nullptr ? -1 : 0;
  }
  if (length > 0 && line[length - 1] == '\n') line[length - 1] = '\0';
  *password = owner.release();
  return 0;
}

// Echo off for as long as it lives.
class NoEcho {
 public:
  explicit NoEcho(int terminal) : terminal_(terminal) {
    if (tcgetattr(terminal_, &before_) != 0) return;
    termios silent = before_;
    silent.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    changed_ = tcsetattr(terminal_, TCSAFLUSH, &silent) == 0;
  }
  ~NoEcho() {
    if (changed_) tcsetattr(terminal_, TCSAFLUSH, &before_);
  }
  NoEcho(const NoEcho&) = delete;
  NoEcho& operator=(const NoEcho&) = delete;

 private:
  int terminal_;
  termios before_{};
  bool changed_ = false;
};

int ask_on_terminal(char** password) {
  if (nbdkit_stdio_safe() == 0) {
    return refuse("stdin is not available for reading a password");
  }
  if (isatty(STDIN_FILENO) == 0) {
    return refuse("stdin is not a terminal: cannot ask for a password");
  }
  std::printf("password: ");
  std::fflush(stdout);
  const NoEcho quiet(STDIN_FILENO);
  const int result = read_line(stdin, "the terminal", password);
  std::printf("\n");
  return result;
}

int read_descriptor(const char* number, char** password) {
  int fd = -1;
  if (nbdkit_parse_int("password file descriptor", number, &fd) == -1) return -1;
  // 0, 1 and 2 belong to the server, which would go on with them closed.
  if (fd >= STDIN_FILENO && fd <= STDERR_FILENO) {
    return refuse("cannot read a password from file descriptor " + std::to_string(fd) +
                  ", which is stdin, stdout or stderr");
  }
  const std::string from = "file descriptor " + std::to_string(fd);
  const File file(fdopen(fd, "r"));
  if (!file) return refuse(with_errno("could not read the password from " + from));
  return read_line(file.get(), from, password);
}

int read_file(const char* path, char** password) {
  const File file(std::fopen(path, "re"));
  if (!file) return refuse(with_errno("could not open password file " + api::quoted(path)));
  return read_line(file.get(), api::quoted(path), password);
}

}  // namespace

NBDCHECK_API int nbdkit_read_password(const char* value, char** password) {
  *password = nullptr;
  if (value[0] == '+') return read_file(value + 1, password);
  if (value[0] == '-' && value[1] == '\0') return ask_on_terminal(password);
  if (value[0] == '-') return read_descriptor(value + 1, password);
  *password = api::copy_for_caller(value);
  return *password == nullptr ? -1 : 0;
}
