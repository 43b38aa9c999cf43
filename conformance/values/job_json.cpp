// Jobs as JSON.  Strings may hold any bytes (file names do), so they travel
// escaped (text/printable.hpp); enumerations travel as numbers.
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <utility>

#include "job.hpp"
#include "text/printable.hpp"

namespace nbdcheck {
namespace {

using nlohmann::json;

json out(const std::string& text) { return escape(text); }

json out(const std::vector<std::string>& list) {
  json array = json::array();
  for (const std::string& text : list) array.push_back(escape(text));
  return array;
}

void in(const json& value, std::string& text) {
  auto plain = unescape(value.get_ref<const std::string&>());
  if (!plain) throw std::invalid_argument("malformed escape");
  text = std::move(*plain);
}

void in(const json& value, std::vector<std::string>& list) {
  if (!value.is_array()) throw std::invalid_argument("not an array");
  for (const json& element : value) in(element, list.emplace_back());
}

void in(const json& value, bool& flag) { flag = value.get<bool>(); }
void in(const json& value, double& number) { number = value.get<double>(); }

template <typename Number>
void in(const json& value, Number& number) {
  // Not get<Number>(), which wraps what does not fit.
  const bool fits =
      value.is_number_unsigned()
          ? std::in_range<Number>(value.get<std::uint64_t>())
          : value.is_number_integer() && std::in_range<Number>(value.get<std::int64_t>());
  if (!fits) throw std::invalid_argument("not a number in range");
  number = value.get<Number>();
}

template <typename Enum>
Enum enumerator(const json& value, Enum last) {
  int number = 0;
  in(value, number);
  if (number < 0 || number > static_cast<int>(last)) throw std::invalid_argument("bad enumerator");
  return static_cast<Enum>(number);
}

template <typename Enum>
int number_of(Enum value) {
  return static_cast<int>(value);
}

// --- PluginFacts -----------------------------------------------------------

json plugin_out(const PluginFacts& facts) {
  return {{"path", out(facts.path)},
          {"name", out(facts.name)},
          {"longname", out(facts.longname)},
          {"version", out(facts.version)},
          {"description", out(facts.description)},
          {"config_help", out(facts.config_help)},
          {"api_version", facts.api_version},
          {"struct_size", facts.struct_size},
          {"static_thread_model", facts.static_thread_model},
          {"errno_is_preserved", facts.errno_is_preserved},
          {"magic_config_key", out(facts.magic_config_key)},
          {"has", out(facts.has)}};
}

void plugin_in(const json& value, PluginFacts& facts) {
  in(value.at("path"), facts.path);
  in(value.at("name"), facts.name);
  in(value.at("longname"), facts.longname);
  in(value.at("version"), facts.version);
  in(value.at("description"), facts.description);
  in(value.at("config_help"), facts.config_help);
  in(value.at("api_version"), facts.api_version);
  in(value.at("struct_size"), facts.struct_size);
  in(value.at("static_thread_model"), facts.static_thread_model);
  in(value.at("errno_is_preserved"), facts.errno_is_preserved);
  in(value.at("magic_config_key"), facts.magic_config_key);
  in(value.at("has"), facts.has);
}

// --- ExportInfo ------------------------------------------------------------

json info_out(const ExportInfo& info) {
  json value = {{"name", out(info.name)},
                {"size", info.size},
                {"can_write", info.can_write},
                {"can_flush", info.can_flush},
                {"rotational", info.rotational},
                {"can_trim", info.can_trim},
                {"zero", number_of(info.zero)},
                {"can_fast_zero", info.can_fast_zero},
                {"fua", number_of(info.fua)},
                {"multi_conn", info.multi_conn},
                {"advertises_multi_conn", info.advertises_multi_conn},
                {"cache", number_of(info.cache)},
                {"can_extents", info.can_extents}};
  if (info.description) value["description"] = out(*info.description);
  if (info.block_size) {
    value["block_size"] = {info.block_size->minimum, info.block_size->preferred,
                           info.block_size->maximum};
  }
  return value;
}

void info_in(const json& value, ExportInfo& info) {
  in(value.at("name"), info.name);
  in(value.at("size"), info.size);
  in(value.at("can_write"), info.can_write);
  in(value.at("can_flush"), info.can_flush);
  in(value.at("rotational"), info.rotational);
  in(value.at("can_trim"), info.can_trim);
  info.zero = enumerator(value.at("zero"), zero_native);
  in(value.at("can_fast_zero"), info.can_fast_zero);
  info.fua = enumerator(value.at("fua"), fua_native);
  in(value.at("multi_conn"), info.multi_conn);
  in(value.at("advertises_multi_conn"), info.advertises_multi_conn);
  info.cache = enumerator(value.at("cache"), cache_native);
  in(value.at("can_extents"), info.can_extents);
  if (value.contains("description")) in(value.at("description"), info.description.emplace());
  if (value.contains("block_size")) {
    BlockSize& block = info.block_size.emplace();
    const json& sizes = value.at("block_size");
    in(sizes.at(0), block.minimum);
    in(sizes.at(1), block.preferred);
    in(sizes.at(2), block.maximum);
  }
}

// --- Request, Subject ------------------------------------------------------

json request_out(const Request& request) {
  return {{"plugin", out(request.plugin)},
          {"arguments", out(request.arguments)},
          {"export_name", out(request.export_name)},
          {"readonly", request.readonly},
          {"unstable_contents", request.unstable_contents},
          {"backing", out(request.backing)},
          {"persistence", number_of(request.persistence)},
          {"effort", number_of(request.effort)},
          {"seed", request.seed},
          {"atomic_consistency", request.atomic_consistency},
          {"nbdkit", out(request.nbdkit)},
          {"nbdkit_version", out(request.nbdkit_version)},
          {"no_nbdkit", out(request.no_nbdkit)}};
}

void request_in(const json& value, Request& request) {
  in(value.at("plugin"), request.plugin);
  in(value.at("arguments"), request.arguments);
  in(value.at("export_name"), request.export_name);
  in(value.at("readonly"), request.readonly);
  in(value.at("unstable_contents"), request.unstable_contents);
  in(value.at("backing"), request.backing);
  request.persistence = enumerator(value.at("persistence"), Persistence::per_connection);
  request.effort = enumerator(value.at("effort"), Effort::thorough);
  in(value.at("seed"), request.seed);
  in(value.at("atomic_consistency"), request.atomic_consistency);
  in(value.at("nbdkit"), request.nbdkit);
  in(value.at("nbdkit_version"), request.nbdkit_version);
  in(value.at("no_nbdkit"), request.no_nbdkit);
}

json subject_out(const Subject& subject) {
  return {{"plugin", plugin_out(subject.plugin)},
          {"sha256", out(subject.sha256)},
          {"thread_model", number_of(subject.thread_model)},
          {"info", info_out(subject.info)},
          {"persistence", number_of(subject.persistence)},
          {"stable_contents", subject.stable_contents},
          {"external_storage", subject.external_storage},
          {"connections_seen", subject.connections_seen},
          {"more_wait", subject.more_wait},
          {"nanoseconds_per_read", subject.nanoseconds_per_read},
          {"readable", subject.readable},
          {"arguments", out(subject.arguments)},
          {"remarks", out(subject.remarks)}};
}

void subject_in(const json& value, Subject& subject) {
  plugin_in(value.at("plugin"), subject.plugin);
  in(value.at("sha256"), subject.sha256);
  subject.thread_model = enumerator(value.at("thread_model"), ThreadModel::parallel);
  info_in(value.at("info"), subject.info);
  subject.persistence = enumerator(value.at("persistence"), Persistence::per_connection);
  in(value.at("stable_contents"), subject.stable_contents);
  in(value.at("external_storage"), subject.external_storage);
  in(value.at("connections_seen"), subject.connections_seen);
  in(value.at("more_wait"), subject.more_wait);
  in(value.at("nanoseconds_per_read"), subject.nanoseconds_per_read);
  in(value.at("readable"), subject.readable);
  in(value.at("arguments"), subject.arguments);
  in(value.at("remarks"), subject.remarks);
}

}  // namespace

std::string to_json(const Job& job) {
  const json value = {{"kind", number_of(job.kind)},
                      {"check", out(job.check)},
                      {"request", request_out(job.request)},
                      {"subject", subject_out(job.subject)},
                      {"seconds", job.seconds},
                      {"operations", job.operations},
                      {"plan", out(job.plan_text)},
                      {"log", out(job.log_path)},
                      {"second_probe", job.second_probe},
                      {"hold", job.hold},
                      {"count_connections", job.count_connections},
                      {"where", number_of(job.where)},
                      {"script", out(job.script)},
                      {"twice", job.twice},
                      {"second_arguments", out(job.second_arguments)},
                      {"trial", job.trial},
                      {"schedule", out(job.schedule)},
                      {"repeat", job.repeat}};
  return value.dump();
}

std::optional<Job> job_from_json(const std::string& text) {
  try {
    const json value = json::parse(text);
    Job job;
    job.kind = enumerator(value.at("kind"), Job::Kind::reproduce);
    in(value.at("check"), job.check);
    request_in(value.at("request"), job.request);
    subject_in(value.at("subject"), job.subject);
    in(value.at("seconds"), job.seconds);
    in(value.at("operations"), job.operations);
    in(value.at("plan"), job.plan_text);
    in(value.at("log"), job.log_path);
    in(value.at("second_probe"), job.second_probe);
    in(value.at("hold"), job.hold);
    in(value.at("count_connections"), job.count_connections);
    job.where = enumerator(value.at("where"), Job::Where::nbdkit);
    in(value.at("script"), job.script);
    in(value.at("twice"), job.twice);
    in(value.at("second_arguments"), job.second_arguments);
    in(value.at("trial"), job.trial);
    in(value.at("schedule"), job.schedule);
    in(value.at("repeat"), job.repeat);
    return job;
  } catch (const json::exception&) {
    return std::nullopt;
  } catch (const std::invalid_argument&) {
    return std::nullopt;
  }
}

}  // namespace nbdcheck
