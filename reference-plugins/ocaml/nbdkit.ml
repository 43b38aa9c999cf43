exception Error of Unix.error * string
exception Declined

type thread_model = Serialize_connections | Serialize_all_requests | Serialize_requests | Parallel
type fua = Fua_none | Fua_emulate | Fua_native
type cache = Cache_none | Cache_emulate | Cache_native
type extent = Data | Hole | Zero | Hole_zero

let may_trim = 1
let fua = 2
let req_one = 4
let fast_zero = 8

external set_string : string -> string -> unit = "nbdkit_ml_set_string"

(* The function's type is the caller's, who is [register]. *)
external set_function : string -> 'a -> unit = "nbdkit_ml_set_function"
external parse_size_c : string -> int = "nbdkit_ml_parse_size"
external absolute_path_c : string -> string option = "nbdkit_ml_absolute_path"
external export_name_c : unit -> string option = "nbdkit_ml_export_name"

(* Of these nbdkit has told the user already. *)
exception Reported of string

let parse_size text =
  match parse_size_c text with
  | -1 -> raise (Reported (text ^ " is no size"))
  | size -> size

let known = function Some value -> value | None -> raise (Reported "nbdkit has none")
let absolute_path path = known (absolute_path_c path)
let export_name () = known (export_name_c ())

(* (errno, message) for C; an empty message is not printed. *)
let explain = function
  | Error (error, message) -> (error, message)
  | Unix.Unix_error (error, call, "") -> (error, call ^ ": " ^ Unix.error_message error)
  | Unix.Unix_error (error, call, what) ->
      (error, call ^ ": " ^ what ^ ": " ^ Unix.error_message error)
  | Declined -> (Unix.EOPNOTSUPP, "")
  | Reported _ -> (Unix.EINVAL, "")
  | Failure message | Invalid_argument message | Sys_error message -> (Unix.EIO, message)
  | other -> (Unix.EIO, Printexc.to_string other)

let register ~name ?version ?longname ?description ?config_help ?magic_config_key ?load ?config
    ?config_complete ?thread_model ?get_ready ?after_fork ?cleanup ?unload ?dump_plugin ?close
    ?can_write ?can_flush ?can_trim ?can_zero ?can_fast_zero ?can_extents ?can_multi_conn
    ?is_rotational ?can_fua ?can_cache ?block_size ?export_description ?pwrite ?flush ?trim ?zero
    ?cache ?extents ~open_connection ~get_size ~pread () =
  let text field = Option.iter (set_string field) in
  text "name" (Some name);
  text "version" version;
  text "longname" longname;
  text "description" description;
  text "config_help" config_help;
  text "magic_config_key" magic_config_key;
  set_function "explain" explain;
  let callback field f = Option.iter (set_function field) f in
  callback "load" load;
  callback "config" config;
  callback "config_complete" config_complete;
  callback "thread_model" thread_model;
  callback "get_ready" get_ready;
  callback "after_fork" after_fork;
  callback "cleanup" cleanup;
  callback "unload" unload;
  callback "dump_plugin" dump_plugin;
  set_function "open" open_connection;
  callback "close" close;
  set_function "get_size" get_size;
  callback "can_write" can_write;
  callback "can_flush" can_flush;
  callback "can_trim" can_trim;
  callback "can_zero" can_zero;
  callback "can_fast_zero" can_fast_zero;
  callback "can_extents" can_extents;
  callback "can_multi_conn" can_multi_conn;
  callback "is_rotational" is_rotational;
  callback "can_fua" can_fua;
  callback "can_cache" can_cache;
  callback "block_size" block_size;
  callback "export_description" export_description;
  set_function "pread" pread;
  callback "pwrite" pwrite;
  callback "flush" flush;
  callback "trim" trim;
  callback "zero" zero;
  callback "cache" cache;
  callback "extents" extents
