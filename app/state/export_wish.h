/// \file
/// What the user wants exported: one value that the dialog edits and the exporter carries out.
#pragma once

#include "state/export_values.h"
#include "state/provenance.h"

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

namespace convscope {

enum class ExportItem : std::uint8_t {
  three_maps,
  exact_map,
  approximation_map,
  residual_map,
  basis_plot,
  error_plot,
  map_values,
  lag_vectors,
  starts,
  row_errors,
  output,
  exact_output,
  report
};
enum class ExportFormat : std::uint8_t { png, csv, npy, html };

/// For menus: "three maps", ...
const char* name_of(ExportItem item);
const char* name_of(ExportFormat format);
/// The formats an item can be written in, the usual one first; never empty.
std::span<const ExportFormat> formats_of(ExportItem item);
inline bool is_picture(ExportItem item) { return formats_of(item).front() == ExportFormat::png; }

struct ExportWish {
  ExportItem item = ExportItem::three_maps;
  ExportFormat format = ExportFormat::png;
  int scale = 2;                                        ///< of pictures, 1 to 4
  bool dark = false;                                    ///< pictures on a dark ground
  int level = 0;                                        ///< of map values
  convbasis::MapKind kind = convbasis::MapKind::exact;  ///< of map values as npy, which holds one map; CSV holds all three
  std::filesystem::path path = {};
};

/// "smollm2-135m-L18-H8-three-maps.png": made of letters, digits, dots, dashes and underscores only.
std::string suggested_name(const Provenance& provenance, const ExportWish& wish);

/// `path` with the ending of the wish's format, when it has none or that of another format.
std::filesystem::path with_ending(std::filesystem::path path, ExportFormat format);

/// Why the wish cannot be carried out, one sentence; empty when it can: no path, no such folder, a folder in its place.
std::string problem_of(const ExportWish& wish);

}  // namespace convscope
