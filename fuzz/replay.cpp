// Runs a fuzz target on files and directories of files, without libFuzzer: the
// corpus as a test, and any input a fuzzer found.
//
//   TARGET_replay [--isolate[=SECONDS] | --mutate=SECONDS] FILE|DIRECTORY...
//
// With --mutate the inputs are also changed at random, for that long: a fuzzer that is
// blind, for plugins and compilers without coverage.
// With --isolate each input has a process of its own, at most that long (20) and with
// 2 GiB of memory: what ends it is reported, and the next input runs.
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <thread>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
extern "C" [[gnu::weak]] int LLVMFuzzerInitialize(int* argc, char*** argv);
extern "C" [[gnu::weak]] std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size,
                                                             std::size_t most, unsigned seed);
extern "C" [[gnu::weak]] void __asan_init();
extern "C" [[gnu::weak]] void __tsan_init();

namespace {

namespace fs = std::filesystem;

std::vector<fs::path> files_in(const fs::path& path) {
  if (!fs::is_directory(path)) return {path};
  std::vector<fs::path> files;
  for (const auto& entry : fs::recursive_directory_iterator(path))
    if (entry.is_regular_file()) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  return files;
}

void run(const std::string& bytes) {
  LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
}

void initialize(int argc, char** argv) {
  if (LLVMFuzzerInitialize != nullptr) LLVMFuzzerInitialize(&argc, &argv);
}

// Runs changed inputs for so many seconds; how many.
std::size_t mutated(const std::vector<std::string>& inputs, int seconds) {
  constexpr std::size_t longest = 4096;
  constexpr unsigned most_changes = 8;
  std::mt19937 random(1);
  std::size_t count = 0;
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
  while (std::chrono::steady_clock::now() < end) {
    std::string bytes = inputs[random() % inputs.size()];
    std::size_t size = std::min(bytes.size(), longest);
    bytes.resize(longest);
    for (auto changes = 1 + random() % most_changes; changes > 0; --changes)
      size = LLVMFuzzerCustomMutator(reinterpret_cast<std::uint8_t*>(bytes.data()), size, longest,
                                     static_cast<unsigned>(random()));
    bytes.resize(size);
    run(bytes);
    ++count;
  }
  return count;
}

// "" : it came to its end; else what ended it.
std::string isolated(const std::string& bytes, int seconds, int argc, char** argv) {
  std::fflush(nullptr);
  const pid_t child = ::fork();
  if (child < 0) return std::string("fork: ") + std::strerror(errno);
  constexpr int done = 77;  // a plugin's exit(0) is no end
  if (child == 0) {
    ::setpgid(0, 0);
    // Shadow memory is reserved by the terabyte.
    if (__asan_init == nullptr && __tsan_init == nullptr) {
      const rlimit memory{rlim_t{2} << 30, rlim_t{2} << 30};
      ::setrlimit(RLIMIT_AS, &memory);
    }
    const rlimit no_core{0, 0};
    ::setrlimit(RLIMIT_CORE, &no_core);
    initialize(argc, argv);
    run(bytes);
    std::fflush(nullptr);
    ::_exit(done);
  }
  const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
  int status = 0;
  std::string what;
  while (::waitpid(child, &status, WNOHANG) == 0) {
    if (std::chrono::steady_clock::now() > limit) {
      what = "not done after " + std::to_string(seconds) + " s";
      break;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  ::kill(-child, SIGKILL);  // what it started as well
  if (!what.empty()) {
    ::kill(child, SIGKILL);
    ::waitpid(child, &status, 0);
  } else if (WIFSIGNALED(status)) {
    what = std::string("killed by ") + ::strsignal(WTERMSIG(status));
  } else if (WEXITSTATUS(status) != done) {
    what = "exited with status " + std::to_string(WEXITSTATUS(status));
  }
  return what;
}

}  // namespace

int main(int argc, char** argv) {
  std::size_t count = 0;
  std::size_t bad = 0;
  int seconds = 0;
  int mutate_for = 0;
  std::vector<std::string> inputs;
  bool initialized = false;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word.starts_with("--isolate")) {
      seconds = word.starts_with("--isolate=") ? std::atoi(argv[i] + 10) : 20;
      if (seconds > 0) continue;
      std::fprintf(stderr, "%s: not a number of seconds\n", argv[i]);
      return 2;
    }
    if (word.starts_with("--mutate=")) {
      mutate_for = std::atoi(argv[i] + 9);
      if (mutate_for > 0 && LLVMFuzzerCustomMutator != nullptr) continue;
      std::fprintf(stderr,
                   mutate_for > 0 ? "%s: this target has no mutator of its own\n"
                                  : "%s: not a number of seconds\n",
                   argv[i]);
      return 2;
    }
    for (const fs::path& path : files_in(word)) {
      std::ifstream file(path, std::ios::binary);
      if (!file) {
        std::fprintf(stderr, "%s: cannot be read\n", path.c_str());
        return 2;
      }
      const std::string bytes((std::istreambuf_iterator<char>(file)), {});
      std::printf("%s\n", path.c_str());
      std::fflush(stdout);  // the last line names the input that ended it
      ++count;
      if (mutate_for > 0) inputs.push_back(bytes);
      if (seconds > 0) {
        const std::string end = isolated(bytes, seconds, argc, argv);
        if (end.empty()) continue;
        ++bad;
        std::printf("  %s\n", end.c_str());
      } else {
        if (!initialized) initialize(argc, argv);
        initialized = true;
        run(bytes);
      }
    }
  }
  if (!inputs.empty()) std::printf("%zu changed inputs\n", mutated(inputs, mutate_for));
  std::printf("%zu inputs", count);
  if (bad != 0) std::printf(", %zu of them did not come to their end", bad);
  std::printf("\n");
  if (count == 0) return 2;  // a test without inputs tests nothing
  return bad != 0 ? 1 : 0;
}
