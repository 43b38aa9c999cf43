(* A RAM disk: size=SIZE. Pages that nobody wrote are not stored. *)

let page_size = 32768
let size = ref (1 lsl 20)
let pages : (int, bytes) Hashtbl.t = Hashtbl.create 64

(* One thread runs at a time, but which one the runtime may change wherever memory is
   allocated: in the middle of [Hashtbl.replace], too. *)
let mutex = Mutex.create ()

let locked f =
  Mutex.lock mutex;
  Fun.protect ~finally:(fun () -> Mutex.unlock mutex) f

let config key value =
  if key <> "size" then
    raise (Nbdkit.Error (Unix.EINVAL, Printf.sprintf "unknown parameter '%s'" key));
  size := Nbdkit.parse_size value

let load () =
  size := 1 lsl 20;
  Hashtbl.reset pages

(* Calls [f page begin done length] for each part of a request in one page. *)
let each_piece count offset f =
  let rec go finished =
    if finished < count then begin
      let at = offset + finished in
      let first = at mod page_size in
      let length = min (count - finished) (page_size - first) in
      f (at / page_size) first finished length;
      go (finished + length)
    end
  in
  go 0

let pread () buf offset _flags =
  each_piece (Bytes.length buf) offset (fun page first finished length ->
      match Hashtbl.find_opt pages page with
      | Some stored -> Bytes.blit stored first buf finished length
      | None -> Bytes.fill buf finished length '\000')

let stored page =
  match Hashtbl.find_opt pages page with
  | Some bytes -> bytes
  | None ->
      let bytes = Bytes.make page_size '\000' in
      Hashtbl.replace pages page bytes;
      bytes

let pwrite () buf offset _flags =
  each_piece (Bytes.length buf) offset (fun page first finished length ->
      Bytes.blit buf finished (stored page) first length)

let zero () count offset flags =
  let holes = flags land Nbdkit.may_trim <> 0 in
  each_piece count offset (fun page first _ length ->
      if holes && length = page_size then Hashtbl.remove pages page
      else if (not holes) || Hashtbl.mem pages page then
        Bytes.fill (stored page) first length '\000')

let trim () count offset _flags = zero () count offset Nbdkit.may_trim

let extents () count offset _flags =
  let found = ref [] in
  each_piece count offset (fun page _ _ length ->
      let kind = if Hashtbl.mem pages page then Nbdkit.Data else Nbdkit.Hole_zero in
      found := (length, kind) :: !found);
  List.rev !found

let () =
  Nbdkit.register ~name:"ocaml-ramdisk" ~version:"0.1.0" ~description:"a RAM disk"
    ~config_help:"size=<SIZE>  how large it is (default 1M)" ~magic_config_key:"size" ~load ~config
    ~open_connection:(fun _readonly -> ())
    ~get_size:(fun () -> !size)
    ~can_multi_conn:(fun () -> true)
    ~can_fast_zero:(fun () -> true)
    ~can_fua:(fun () -> Nbdkit.Fua_native)
    ~pread:(fun () buf offset flags -> locked (fun () -> pread () buf offset flags))
    ~pwrite:(fun () buf offset flags -> locked (fun () -> pwrite () buf offset flags))
    ~zero:(fun () count offset flags -> locked (fun () -> zero () count offset flags))
    ~trim:(fun () count offset flags -> locked (fun () -> trim () count offset flags))
    ~extents:(fun () count offset flags -> locked (fun () -> extents () count offset flags))
    ~flush:(fun () _flags -> ())
    ()
