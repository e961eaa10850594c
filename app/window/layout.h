/// \file
/// Where the panels are: names, and the layout a new user finds.
#pragma once

#include <imgui.h>

namespace convscope {

/// Names of the panels that the window itself begins; the three maps begin theirs as ###exact, ###approximation, ###residual.
inline constexpr const char* source_window = "Source###source";
inline constexpr const char* parameters_window = "Parameters###parameters";
inline constexpr const char* basis_window = "Basis###basis";
inline constexpr const char* heads_window = "Heads###heads";
inline constexpr const char* runtime_window = "Runtime###runtime";
inline constexpr const char* errors_window = "Residual: error by row###errors";

/// Docks all panels as in the product's picture into the dock space `id` of `size` pixels, in place of whatever is there: Source
/// over Parameters at the left, three maps above, Basis, errors with Heads behind them, and Runtime below. Before the dock space
/// is submitted in a frame.
void build_default_layout(ImGuiID id, ImVec2 size);

}  // namespace convscope
