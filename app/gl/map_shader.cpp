#include "gl/map_shader.h"

namespace convscope::gl {

// One tile is one quad; its four corners are made from the vertex number. `place` is (left, bottom, right, top) of the tile in
// clip space.
const char* const map_vertex_shader = R"glsl(#version 330 core
uniform vec4 place;
out vec2 on_tile;
void main() {
  vec2 corner = vec2(gl_VertexID & 1, gl_VertexID >> 1);
  on_tile = vec2(corner.x, 1.0 - corner.y);
  gl_Position = vec4(mix(place.xy, place.zw, corner), 0.0, 1.0);
}
)glsl";

// What is masked follows from where a pixel lies, not from its value: a NaN below the diagonal is a NaN of the data.
const char* const map_fragment_shader = R"glsl(#version 330 core
uniform sampler2D values;
uniform sampler2D lookup;
uniform ivec2 first_pixel;   // row and column of the tile's first pixel, in pixels of its level
uniform int pixels;          // pixels of that level along the whole map
uniform int scale_kind;      // 0 linear, 1 log, 2 symlog
uniform float linear_width;  // of symlog
uniform vec2 range;          // lo and hi, already transformed by the scale
uniform vec3 masked;
uniform vec3 not_a_number;
in vec2 on_tile;
out vec4 colour;

float transformed(float value) {
  if (scale_kind == 1) return log(max(value, 1e-38));
  if (scale_kind == 2) {
    // asinh of the magnitude: the formula with the sign loses all digits for negative values.
    float ratio = abs(value) / linear_width;
    return sign(value) * log(ratio + sqrt(ratio * ratio + 1.0));
  }
  return value;
}

void main() {
  ivec2 size = textureSize(values, 0);
  ivec2 pixel = clamp(ivec2(on_tile * vec2(size)), ivec2(0), size - 1);
  int row = first_pixel.x + pixel.y;
  int column = first_pixel.y + pixel.x;
  colour = vec4(masked, 1.0);
  if (column > row || row >= pixels) return;
  float value = texelFetch(values, pixel, 0).r;
  if (isnan(value) || isinf(value)) {
    colour.rgb = not_a_number;
    return;
  }
  float position = clamp((transformed(value) - range.x) / (range.y - range.x), 0.0, 1.0);
  colour.rgb = texture(lookup, vec2((position * 255.0 + 0.5) / 256.0, 0.5)).rgb;
}
)glsl";

}  // namespace convscope::gl
