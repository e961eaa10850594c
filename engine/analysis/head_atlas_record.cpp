#include "analysis/head_atlas_record.h"

#include "core/errors.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>
#include <nlohmann/json.hpp>

namespace convbasis {
namespace {

using nlohmann::ordered_json;
constexpr std::size_t thumbnail_pixels = static_cast<std::size_t>(thumbnail_side) * thumbnail_side;
constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// JSON has neither infinity nor NaN.
ordered_json number(double value) {
  if (std::isnan(value)) return nullptr;
  if (std::isinf(value)) return value > 0.0 ? "inf" : "-inf";
  return value;
}

double number(const ordered_json& value) {
  if (value.is_null()) return AtlasRung::unknown;
  if (value.is_number()) return value.get<double>();
  const auto text = value.get<std::string>();
  if (text == "inf") return HUGE_VAL;
  if (text == "-inf") return -HUGE_VAL;
  throw Error(fmt::format("a number is the text \"{:.20}\"", text));
}

ordered_json numbers(const std::vector<double>& values) {
  ordered_json list = ordered_json::array();
  for (const double value : values) list.push_back(number(value));
  return list;
}

std::vector<double> numbers(const ordered_json& list) {
  std::vector<double> values;
  for (const ordered_json& value : list.get_ref<const ordered_json::array_t&>()) values.push_back(number(value));
  return values;
}

/// A whole number; nlohmann would cut a fraction.
Index whole(const ordered_json& value) {
  if (!value.is_number_integer()) throw Error("a whole number was expected");
  return value.get<Index>();
}

ordered_json rung_json(const AtlasRung& rung) {
  return {{"key", rung.key},
          {"band", rung.band},
          {"columns", rung.columns},
          {"k", rung.k},
          {"rank", rung.rank},
          {"error", number(rung.error)},
          {"heldout_error", number(rung.heldout_error)},
          {"cost", number(rung.cost)}};
}

AtlasRung rung_of(const ordered_json& json) {
  return {.key = json.at("key").get<std::string>(),
          .band = whole(json.at("band")),
          .columns = whole(json.at("columns")),
          .k = whole(json.at("k")),
          .rank = whole(json.at("rank")),
          .error = number(json.at("error")),
          .heldout_error = number(json.at("heldout_error")),
          .cost = number(json.at("cost"))};
}

std::vector<float> thumbnail_of(const std::string& text) {
  const std::vector<std::uint8_t> codes = bytes_of_base64(text);
  if (codes.size() != thumbnail_pixels) throw Error(fmt::format("its thumbnail has {} pixels", codes.size()));
  return thumbnail_from_codes(codes);
}

AtlasRecord record_of(const ordered_json& json) {
  AtlasRecord record{{whole(json.at("layer")), whole(json.at("head"))}, {}};
  HeadAtlasEntry& entry = record.entry;
  entry.n = whole(json.at("n"));
  if (json.contains("failure")) {
    entry.failure = json.at("failure").get<std::string>();
    return record;
  }
  entry.entropy = number(json.at("entropy_bits"));
  entry.relative_entropy = number(json.at("relative_entropy"));
  entry.sink_mass = number(json.at("sink_mass"));
  entry.band_mass = number(json.at("band_mass"));
  entry.recover_errors = numbers(json.at("recover_errors"));
  entry.fit_errors = numbers(json.at("fit_errors"));
  entry.rank_errors = numbers(json.at("rank_errors"));
  if (!json.at("k_for_target").is_null()) entry.k_for_target = whole(json.at("k_for_target"));
  for (const ordered_json& rung : json.at("ladder").get_ref<const ordered_json::array_t&>())
    entry.ladder.push_back(rung_of(rung));
  entry.thumbnail = thumbnail_of(json.at("thumbnail").get<std::string>());
  return record;
}

ordered_json options_json(const AtlasOptions& options) {
  const HeadSummaryOptions& summary = options.summary;
  return {{"k", options.ks},
          {"band", options.band},
          {"columns", options.columns},
          {"ladder", options.ladder},
          {"target_error", summary.target_error},
          {"most_k", summary.most_k},
          {"sink_columns", summary.sink},
          {"band_lags", summary.band},
          {"T", summary.recover.T},
          {"delta", summary.recover.delta},
          {"eps", summary.recover.eps},
          {"search", name_of(summary.recover.search)}};
}

AtlasOptions options_of(const ordered_json& json) {
  AtlasOptions options;
  options.ks.clear();
  for (const ordered_json& k : json.at("k").get_ref<const ordered_json::array_t&>()) options.ks.push_back(whole(k));
  options.band = whole(json.at("band"));
  options.columns = whole(json.at("columns"));
  options.ladder = json.at("ladder").get<bool>();
  HeadSummaryOptions& summary = options.summary;
  summary.target_error = json.at("target_error").get<double>();
  summary.most_k = whole(json.at("most_k"));
  summary.sink = whole(json.at("sink_columns"));
  summary.band = whole(json.at("band_lags"));
  summary.recover.T = whole(json.at("T"));
  summary.recover.delta = json.at("delta").get<double>();
  summary.recover.eps = json.at("eps").get<double>();
  summary.recover.search = json.at("search").get<std::string>() == name_of(Search::scan) ? Search::scan : Search::binary;
  return options;
}

AtlasManifest manifest_of(const ordered_json& json) {
  AtlasManifest manifest{.version = json.at("version").get<std::string>(),
                         .file = json.at("file").get<std::string>(),
                         .model = json.at("model").get<std::string>(),
                         .fingerprint = json.at("fingerprint").get<std::string>(),
                         .precision = json.at("precision").get<std::string>(),
                         .n = whole(json.at("n")),
                         .options = options_of(json.at("options")),
                         .heads = {}};
  for (const ordered_json& place : json.at("heads").get_ref<const ordered_json::array_t&>()) {
    manifest.heads.push_back({whole(place.at(0)), whole(place.at(1))});
  }
  return manifest;
}

/// The library's own errors say little to people, and a file can hold anything.
template <class Make>
auto parsed(std::string_view text, const char* what, const Make& make) {
  try {
    return make(ordered_json::parse(text));
  } catch (const nlohmann::json::exception& error) {
    throw Error(fmt::format("this is no {}: {}", what, error.what()));
  } catch (const Error& error) {
    throw Error(fmt::format("this is no {}: {}", what, error.what()));
  }
}

std::string line_of(const ordered_json& json) { return json.dump(-1, ' ', false, ordered_json::error_handler_t::replace); }

}  // namespace

std::string atlas_record_text(const AtlasPlace& place, const HeadAtlasEntry& entry) {
  ordered_json json = {{"layer", place.layer}, {"head", place.head}, {"n", entry.n}};
  if (!entry.failure.empty()) {
    json["failure"] = entry.failure;
    return line_of(json);
  }
  json["entropy_bits"] = number(entry.entropy);
  json["relative_entropy"] = number(entry.relative_entropy);
  json["sink_mass"] = number(entry.sink_mass);
  json["band_mass"] = number(entry.band_mass);
  json["recover_errors"] = numbers(entry.recover_errors);
  json["fit_errors"] = numbers(entry.fit_errors);
  json["rank_errors"] = numbers(entry.rank_errors);
  json["k_for_target"] = entry.k_for_target ? ordered_json(*entry.k_for_target) : ordered_json(nullptr);
  json["ladder"] = ordered_json::array();
  for (const AtlasRung& rung : entry.ladder) json["ladder"].push_back(rung_json(rung));
  json["thumbnail"] = base64_text(thumbnail_codes(entry.thumbnail));
  return line_of(json);
}

AtlasRecord parse_atlas_record(std::string_view text) { return parsed(text, "record of a head", record_of); }

std::string atlas_manifest_text(const AtlasManifest& manifest) {
  ordered_json json = {{"version", manifest.version},
                       {"file", manifest.file},
                       {"model", manifest.model},
                       {"fingerprint", manifest.fingerprint},
                       {"precision", manifest.precision},
                       {"n", manifest.n},
                       {"options", options_json(manifest.options)}};
  json["heads"] = ordered_json::array();
  for (const AtlasPlace& place : manifest.heads) json["heads"].push_back({place.layer, place.head});
  return line_of(json);
}

AtlasManifest parse_atlas_manifest(std::string_view text) { return parsed(text, "manifest of an atlas", manifest_of); }

std::string difference(const AtlasManifest& there, const AtlasManifest& here) {
  const auto differs = [](std::string_view name, const auto& a, const auto& b) {
    return a == b ? std::string() : fmt::format("{} is {} there and {} here", name, a, b);
  };
  const ordered_json options_there = options_json(there.options);
  const ordered_json options_here = options_json(here.options);
  std::vector<std::string> found = {differs("the program's version", there.version, here.version),
                                    differs("the input", there.file, here.file), differs("the model", there.model, here.model),
                                    differs("the precision", there.precision, here.precision), differs("n", there.n, here.n)};
  for (const auto& [name, value] : options_there.items()) {
    found.push_back(differs(name, value.dump(), options_here.at(name).dump()));
  }
  if (there.heads != here.heads) {
    found.push_back(fmt::format("the selected heads differ, {} there and {} here", there.heads.size(), here.heads.size()));
  }
  std::erase(found, "");
  if (found.empty() && there.fingerprint != here.fingerprint) found.emplace_back("the files' contents differ");
  return fmt::format("{}", fmt::join(found, "; "));
}

std::string checksum(std::string_view bytes) {
  std::uint64_t hash = 0xcbf29ce484222325U;  // FNV-1a
  for (const char byte : bytes) hash = (hash ^ static_cast<unsigned char>(byte)) * 0x100000001b3U;
  return fmt::format("{:016x}", hash);
}

std::string base64_text(std::span<const std::uint8_t> bytes) {
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const auto byte = [&](std::size_t offset) { return i + offset < bytes.size() ? std::uint32_t{bytes[i + offset]} : 0U; };
    const std::uint32_t group = byte(0) << 16U | byte(1) << 8U | byte(2);
    for (const unsigned shift : {18U, 12U, 6U, 0U}) text += digits[group >> shift & 63U];
  }
  const std::size_t missing = (3 - bytes.size() % 3) % 3;  // what the last group lacks is marked, not encoded
  text.replace(text.size() - missing, missing, missing, '=');
  return text;
}

std::vector<std::uint8_t> bytes_of_base64(std::string_view text) {
  std::size_t padding = 0;
  while (padding < 2 && text.ends_with('=')) {
    text.remove_suffix(1);
    ++padding;
  }
  if ((text.size() + padding) % 4 != 0) throw Error("its base64 text has the wrong length");
  std::vector<std::uint8_t> bytes;
  bytes.reserve(text.size() / 4 * 3 + 2);
  std::uint32_t group = 0;
  unsigned bits = 0;
  for (const char c : text) {
    const std::size_t digit = digits.find(c);
    if (digit == std::string_view::npos) throw Error("its base64 text has another character");
    group = (group << 6U | static_cast<std::uint32_t>(digit)) & 0xffffU;
    bits += 6;
    if (bits < 8) continue;
    bits -= 8;
    bytes.push_back(static_cast<std::uint8_t>(group >> bits & 255U));
  }
  return bytes;
}

}  // namespace convbasis
