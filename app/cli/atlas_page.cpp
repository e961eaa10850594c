#include "cli/atlas_page.h"

namespace convscope {
std::string atlas_page(const AtlasResult& result) { return atlas_json(result).dump(); }
}  // namespace convscope
