/// \file
/// The atlas as one HTML page: the grid of heads, medians, ladders and the table. It opens offline; nothing is fetched.
#pragma once

#include "cli/atlas_results.h"

#include <string>

namespace convscope {

/// The whole page. What comes from files stands in it only as data, which its script shows as text.
std::string atlas_page(const AtlasResult& result);

}  // namespace convscope
