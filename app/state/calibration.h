/// \file
/// The cost model that was measured on this machine, kept in one file of the user's cache folder.
#pragma once

#include "core/cost_model.h"

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace convscope {

/// What a measured model belongs to: another processor or another version needs another measurement.
struct CalibratedFor {
  std::string program, cpu;
  bool operator==(const CalibratedFor&) const = default;
};

struct Calibration {
  CalibratedFor where;
  convbasis::CostModel model;
};

/// $XDG_CACHE_HOME/convscope/calibration.json, or the same under ~/.cache; empty when neither variable is set.
std::filesystem::path calibration_path();

/// JSON; times are nanoseconds.
std::string calibration_text(const Calibration& calibration);
/// Empty unless `text` holds all that calibration_text writes, with plausible numbers.
std::optional<Calibration> parse_calibration(std::string_view text);

struct LoadedCalibration {
  std::optional<convbasis::CostModel> model;  ///< empty: the engine's own numbers are to be used
  std::string warning;                        ///< one line, when the file was there but of no use
};

/// A missing file is no calibration; one that is broken, or made for another program version or processor, is none either, with
/// a warning. Never throws.
LoadedCalibration load_calibration(const std::filesystem::path& path, const CalibratedFor& here);
/// Replaces the file in one step, making its folder when needed. Throws FileError.
void save_calibration(const std::filesystem::path& path, const Calibration& calibration);

}  // namespace convscope
