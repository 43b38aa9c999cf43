def leave(number, _frame):
    sys.exit(128 + number)  # nbdkit goes with us, even where the plugin hangs


def main():
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, leave)
    try:
        os.chdir(DIRECTORY)
    except OSError as error:
        print(f"cannot run: {error}")
        return 2
    nbdkit = None
    try:
        nbdkit = Nbdkit()
        disk = Disk(nbdkit)
        CHECK(disk)
        for connection in list(disk.handles):
            disk.close(connection)
        nbdkit.check_alive("all connections are closed")
        nbdkit.stop()
        print("\nnot seen: everything was as it must be")
        return 0
    except Bug as bug:
        print(f"\nBUG: {bug}")
        if bug.expected != "" or bug.actual != "":
            print(f"expected: {bug.expected}\nactual:   {bug.actual}")
        return 1
    except Hang:
        print(f"\nBUG: a request gets no reply\nexpected: a reply\nactual:   nothing for "
              f"{REPLY_LIMIT} s")
        return 1
    except CannotRun as why:
        print(f"cannot run: {why}")
        return 2
    except Exception:
        traceback.print_exc()
        print("cannot run: this script went wrong, see above")
        return 2
    finally:
        if nbdkit is not None:
            nbdkit.close()


sys.exit(main())
