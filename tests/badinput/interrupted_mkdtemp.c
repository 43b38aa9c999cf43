/* To be preloaded: Ctrl-C, or what INTERRUPTED_BY says, just when the first scratch
   directory has been made.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

char *mkdtemp(char *path) {
  static int calls;
  char *(*const next)(char *) = (char *(*)(char *))dlsym(RTLD_NEXT, "mkdtemp");
  char *const made = next(path);
  const char *const number = getenv("INTERRUPTED_BY");
  if (calls++ == 0) kill(getpid(), number != NULL ? atoi(number) : SIGINT);
  return made;
}
