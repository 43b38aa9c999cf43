(** nbdkit plugins in OCaml.

    Call {!register} once when the program starts. What is not given is not
    announced to clients; see nbdkit-plugin(3) for what each callback is to do.
    An exception makes the callback fail: the message goes to nbdkit's log, and the
    client sees the error of a [Unix.Unix_error] or {!Error}, EIO for any other. *)

exception Error of Unix.error * string

(** What [zero] raises when nbdkit is to write zeroes instead, and when it cannot be
    fast where {!may_trim} and {!fast_zero} ask for that. Not worth a message. *)
exception Declined

type thread_model =
  | Serialize_connections
  | Serialize_all_requests
  | Serialize_requests
  | Parallel
      (** Callbacks take turns all the same: OCaml code runs under the lock of its
          runtime. Those of several requests may be at work at once where one of
          them lets go of it, as [Unix.read] does. *)

type fua = Fua_none | Fua_emulate | Fua_native
type cache = Cache_none | Cache_emulate | Cache_native
type extent = Data | Hole | Zero | Hole_zero

(** Flags of a request, to be tested with [land]. *)
val may_trim : int

val fua : int
val req_one : int
val fast_zero : int

(** ['h] is what [open_connection] returns, and the other callbacks get.

    [pread h buf offset flags] fills [buf]; [pwrite h buf offset flags] writes it.
    [buf] is the callback's own, and may be kept. [extents h count offset flags]
    returns (length, type) of pieces, the first of which begins at [offset]. *)
val register :
  name:string ->
  ?version:string ->
  ?longname:string ->
  ?description:string ->
  ?config_help:string ->
  ?magic_config_key:string ->
  ?load:(unit -> unit) ->
  ?config:(string -> string -> unit) ->
  ?config_complete:(unit -> unit) ->
  ?thread_model:(unit -> thread_model) ->
  ?get_ready:(unit -> unit) ->
  ?after_fork:(unit -> unit) ->
  ?cleanup:(unit -> unit) ->
  ?unload:(unit -> unit) ->
  ?dump_plugin:(unit -> (string * string) list) ->
  ?close:('h -> unit) ->
  ?can_write:('h -> bool) ->
  ?can_flush:('h -> bool) ->
  ?can_trim:('h -> bool) ->
  ?can_zero:('h -> bool) ->
  ?can_fast_zero:('h -> bool) ->
  ?can_extents:('h -> bool) ->
  ?can_multi_conn:('h -> bool) ->
  ?is_rotational:('h -> bool) ->
  ?can_fua:('h -> fua) ->
  ?can_cache:('h -> cache) ->
  ?block_size:('h -> int * int * int) ->
  ?export_description:('h -> string) ->
  ?pwrite:('h -> bytes -> int -> int -> unit) ->
  ?flush:('h -> int -> unit) ->
  ?trim:('h -> int -> int -> int -> unit) ->
  ?zero:('h -> int -> int -> int -> unit) ->
  ?cache:('h -> int -> int -> int -> unit) ->
  ?extents:('h -> int -> int -> int -> (int * extent) list) ->
  open_connection:(bool -> 'h) ->
  get_size:('h -> int) ->
  pread:('h -> bytes -> int -> int -> unit) ->
  unit ->
  unit

(** What users write for a size: 512, 10M, 1G. *)
val parse_size : string -> int

(** A file's name as it is when nbdkit has gone to another directory. *)
val absolute_path : string -> string

(** The name that the client asked for; in callbacks of a connection. *)
val export_name : unit -> string
