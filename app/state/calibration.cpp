#include "state/calibration.h"

#include "core/errors.h"
#include "data/npy_writer.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <utility>

namespace convscope {

namespace fs = std::filesystem;
using convbasis::CostModel;

namespace {

constexpr int format_version = 1;
constexpr std::uintmax_t largest_file = std::uintmax_t{1} << 16U;

/// Calls `each(name, number or numbers)` for all of a model, const or not.
template <class Model, class Each>
void for_each_number(Model& model, Each each) {
  each("transform", model.transform);
  each("spectral", model.spectral);
  each("direct", model.direct);
  each("exact", model.exact);
  each("exact_score", model.exact_score);
  each("recover", model.recover);
  each("exponential", model.exponential);
  each("conv_value", model.conv_value);
  each("exact_call", model.exact_call);
  each("conv_call", model.conv_call);
  each("exact_double", model.exact_double);
  each("conv_double", model.conv_double);
}

}  // namespace

fs::path calibration_path() {
  const auto folder = [](const char* variable) {
    const char* value = std::getenv(variable);
    return fs::path(value ? value : "");
  };
  constexpr const char* name = "calibration.json";
  if (const fs::path cache = folder("XDG_CACHE_HOME"); cache.is_absolute()) return cache / "convscope" / name;
  if (const fs::path home = folder("HOME"); home.is_absolute()) return home / ".cache" / "convscope" / name;
  return {};
}

std::string calibration_text(const Calibration& calibration) {
  nlohmann::ordered_json json = {
      {"format", format_version}, {"program", calibration.where.program}, {"cpu", calibration.where.cpu}};
  for_each_number(calibration.model, [&](const char* name, const auto& value) { json["nanoseconds"][name] = value; });
  return json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

std::optional<Calibration> parse_calibration(std::string_view text) {
  try {
    const auto json = nlohmann::json::parse(text);
    if (json.at("format").get<int>() != format_version) return std::nullopt;
    Calibration result{{json.at("program").get<std::string>(), json.at("cpu").get<std::string>()}, {}};
    const auto& numbers = json.at("nanoseconds");
    bool complete = true;
    for_each_number(result.model, [&]<class Value>(const char* name, Value& value) {
      const auto& found = numbers.at(name);
      if constexpr (!std::same_as<Value, double>) complete = complete && found.is_array() && found.size() == value.size();
      if (complete) value = found.template get<Value>();
    });
    if (complete && is_plausible(result.model)) return result;
  } catch (const nlohmann::json::exception&) {  // broken, or something is missing or of the wrong kind
  }
  return std::nullopt;
}

LoadedCalibration load_calibration(const fs::path& path, const CalibratedFor& here) {
  std::error_code error;
  if (path.empty() || !fs::exists(path, error)) return {};
  const auto refused = [&](const std::string& why) {
    return LoadedCalibration{
        {},
        fmt::format("{}: {}, so the built-in cost model is used; measure again with convscope doctor --calibrate", path.string(),
                    why)};
  };
  std::string text;
  if (fs::is_regular_file(path, error) && fs::file_size(path, error) <= largest_file) {
    std::ifstream stream(path, std::ios::binary);
    text.assign(std::istreambuf_iterator<char>(stream), {});
  }
  const auto calibration = parse_calibration(text);
  if (!calibration) return refused("not a calibration of this program");
  if (calibration->where.program != here.program) {
    return refused(fmt::format("made by version {}, this is {}", calibration->where.program, here.program));
  }
  if (calibration->where.cpu != here.cpu) {
    return refused(fmt::format("made on the processor {}, this is {}", calibration->where.cpu, here.cpu));
  }
  return {calibration->model, ""};
}

void save_calibration(const fs::path& path, const Calibration& calibration) {
  std::error_code error;
  if (path.empty()) throw convbasis::FileError("calibration.json", "there is no cache folder; set HOME or XDG_CACHE_HOME");
  fs::create_directories(path.parent_path(), error);
  if (error) throw convbasis::FileError(path.parent_path().string(), "the folder cannot be made: " + error.message());
  convbasis::write_file_atomically(path, calibration_text(calibration));
}

}  // namespace convscope
